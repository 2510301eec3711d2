import { OPERATORS_GROUP } from '../contracts/names.ts';
import { userPoolClient } from './clients.ts';

/** An account of the user pool. */
export interface AccountStatus {
  readonly enabled: boolean;
  /** Cognito's: `FORCE_CHANGE_PASSWORD` until the invitation is used, then `CONFIRMED`. */
  readonly status: string;
  readonly modifiedAt: Date;
}

/** The accounts of one Cognito user pool, by their addresses. Cognito's errors pass through. */
export class UserPool {
  readonly #id: string;

  constructor(id: string) {
    this.#id = id;
  }

  async find(email: string): Promise<AccountStatus | undefined> {
    const { AdminGetUserCommand } = await import('@aws-sdk/client-cognito-identity-provider');
    const client = await userPoolClient();
    try {
      const user = await client.send(new AdminGetUserCommand(this.#named(email)));
      return {
        enabled: user.Enabled ?? false,
        status: user.UserStatus ?? 'UNKNOWN',
        modifiedAt: user.UserLastModifiedDate ?? new Date(0),
      };
    } catch (error) {
      if ((error as Error).name === 'UserNotFoundException') return undefined;
      throw error;
    }
  }

  /** Creates the account and sends a password for the first sign-in. An account that exists already is left as it is. */
  async invite(email: string): Promise<void> {
    try {
      await this.#create(email);
    } catch (error) {
      // A call whose answer was lost, repeated by the SDK.
      if ((error as Error).name !== 'UsernameExistsException') throw error;
    }
  }

  /** Sends a new password for the first sign-in. */
  inviteAgain(email: string): Promise<void> {
    return this.#create(email, { MessageAction: 'RESEND' });
  }

  async enable(email: string): Promise<void> {
    const { AdminEnableUserCommand } = await import('@aws-sdk/client-cognito-identity-provider');
    await (await userPoolClient()).send(new AdminEnableUserCommand(this.#named(email)));
  }

  /** The account's tokens are revoked: they cannot be refreshed any more. */
  async disable(email: string): Promise<void> {
    const { AdminDisableUserCommand } = await import('@aws-sdk/client-cognito-identity-provider');
    await (await userPoolClient()).send(new AdminDisableUserCommand(this.#named(email)));
  }

  /** Deletes the account with its tokens; succeeds when there is none. */
  async remove(email: string): Promise<void> {
    const { AdminDeleteUserCommand } = await import('@aws-sdk/client-cognito-identity-provider');
    try {
      await (await userPoolClient()).send(new AdminDeleteUserCommand(this.#named(email)));
    } catch (error) {
      if ((error as Error).name !== 'UserNotFoundException') throw error;
    }
  }

  async isOperator(email: string): Promise<boolean> {
    const { AdminListGroupsForUserCommand } = await import('@aws-sdk/client-cognito-identity-provider');
    const client = await userPoolClient();
    const { Groups = [] } = await client.send(new AdminListGroupsForUserCommand(this.#named(email)));
    return Groups.some(({ GroupName }) => GroupName === OPERATORS_GROUP);
  }

  async #create(email: string, how: { readonly MessageAction?: 'RESEND' } = {}): Promise<void> {
    const { AdminCreateUserCommand } = await import('@aws-sdk/client-cognito-identity-provider');
    const client = await userPoolClient();
    await client.send(
      new AdminCreateUserCommand({
        ...this.#named(email),
        ...how,
        DesiredDeliveryMediums: ['EMAIL'],
        // Whoever has the password of the invitation has read mail at the address.
        UserAttributes: [
          { Name: 'email', Value: email },
          { Name: 'email_verified', Value: 'true' },
        ],
      }),
    );
  }

  #named(email: string) {
    return { UserPoolId: this.#id, Username: email };
  }
}
