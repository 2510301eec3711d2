import { beforeAll, describe, expect, test } from 'vitest';
import { SIGN_IN_PORTS, signInCallback } from '../../functions/contracts/names.ts';
import { allowStatements, listOf, text } from './iam-statements.ts';
import { type Assembly, type Resource, sharedAssembly } from './synthesized-app.ts';

let assembly: Assembly;
let federated: Assembly;
beforeAll(async () => {
  assembly = await sharedAssembly('default');
  federated = await sharedAssembly('domain');
});

const ofType = ({ resources }: Assembly, type: string) => resources.filter(({ Type }) => Type === type);
/** Clients with a sign-in page. */
const pageClients = (from: Assembly) =>
  ofType(from, 'AWS::Cognito::UserPoolClient').filter(
    ({ Properties }) => Properties.CallbackURLs !== undefined,
  );
const functionNamed = (from: Assembly, entry: string): Resource =>
  ofType(from, 'AWS::Lambda::Function').find(
    ({ Properties }) => Properties.Handler === `${entry}.handler`,
  ) as Resource;
const variables = (from: Assembly, entry: string) =>
  (functionNamed(from, entry).Properties.Environment as { Variables: Record<string, unknown> }).Variables;

describe('the command line', () => {
  test('is a public client that signs in by authorization code only, at the fixed ports of this machine', () => {
    const [client, ...others] = pageClients(assembly);
    expect(others).toEqual([]);
    expect(client?.Properties).toMatchObject({
      GenerateSecret: false,
      AllowedOAuthFlows: ['code'],
      AllowedOAuthScopes: ['openid', 'email'],
      AllowedOAuthFlowsUserPoolClient: true,
      ExplicitAuthFlows: ['ALLOW_REFRESH_TOKEN_AUTH'],
      SupportedIdentityProviders: ['COGNITO'],
      CallbackURLs: SIGN_IN_PORTS.map(signInCallback),
      PreventUserExistenceErrors: 'ENABLED',
      EnableTokenRevocation: true,
    });
  });

  test('has a page: a domain of the new version, and a branding for each client', () => {
    for (const from of [assembly, federated]) {
      expect(ofType(from, 'AWS::Cognito::UserPoolDomain').map(({ Properties }) => Properties)).toEqual([
        expect.objectContaining({ ManagedLoginVersion: 2 }),
      ]);
      const branded = ofType(from, 'AWS::Cognito::ManagedLoginBranding').map(
        ({ Properties }) => Properties.ClientId,
      );
      expect(branded).toEqual(pageClients(from).map(({ logicalId }) => ({ Ref: logicalId })));
    }
    const [own] = ofType(federated, 'AWS::Cognito::UserPoolDomain');
    expect(own?.Properties.Domain).toBe('example-us');
  });

  test('is known to every API, and to people by the outputs of the control plane', () => {
    for (const from of [assembly, federated]) {
      const authorizers = ofType(from, 'AWS::ApiGatewayV2::Authorizer');
      expect(authorizers).toHaveLength(2);
      for (const { Properties } of authorizers) {
        const { Audience } = Properties.JwtConfiguration as { Audience: unknown[] };
        expect(Audience).toHaveLength(1 + pageClients(from).length);
      }
    }
    const outputs = Object.keys(federated.template('Strata-ControlPlane').Outputs ?? {});
    expect(outputs).toEqual(
      expect.arrayContaining([
        'SignInIssuer',
        'SignInPage',
        'CommandLineClientId',
        'CommandLineClientIdAcme',
        'CommandLineClientIdGlobex',
      ]),
    );
  });
});

describe('an identity provider', () => {
  test('has a client of its own, which shows no other customer’s', () => {
    const shown = pageClients(federated).map(({ Properties }) => Properties.SupportedIdentityProviders);
    expect(shown).toEqual([['COGNITO'], ['Acme'], ['Globex']]);
  });

  test('is configured without its secret in the template', () => {
    const [oidc, saml] = ofType(federated, 'AWS::Cognito::UserPoolIdentityProvider').map(
      ({ Properties }) => Properties,
    );
    expect(oidc).toMatchObject({
      ProviderName: 'Acme',
      ProviderType: 'OIDC',
      ProviderDetails: {
        oidc_issuer: 'https://sso.acme.example',
        client_id: 'strata',
        client_secret: '{{resolve:secretsmanager:sso/acme:SecretString:::}}',
      },
      AttributeMapping: { email: 'email' },
    });
    expect(saml).toMatchObject({
      ProviderName: 'Globex',
      ProviderType: 'SAML',
      ProviderDetails: { MetadataURL: 'https://globex.example/saml' },
    });
  });

  test('and its tenant are known to the trigger and to the task of accounts', () => {
    for (const entry of ['tasks/issue-claims', 'tasks/accounts']) {
      expect(variables(assembly, entry).IDENTITY_PROVIDERS).toBe('{}');
      expect(JSON.parse(String(variables(federated, entry).IDENTITY_PROVIDERS))).toEqual({
        Acme: 'acme',
        Globex: 'globex',
      });
    }
  });
});

test('the task of accounts may change and delete accounts, offboarding only delete them, both of the user pool; neither reaches a database', () => {
  const rights = allowStatements(assembly.resources).filter(({ statement }) =>
    listOf(statement.Action).some((action) => text(action).startsWith('cognito-idp:')),
  );
  expect(rights).toHaveLength(2);
  for (const entry of ['tasks/accounts', 'tasks/offboarding-aws']) {
    const { Properties } = functionNamed(assembly, entry);
    const own = rights.find(({ roles }) => text(Properties.Role).includes(roles[0] as string));
    expect(text(own?.statement.Resource), entry).toMatch(/^<[\w:-]*IdentityUsers\w+(\.Arn)?>$/);
    const changes = ['AdminCreateUser', 'AdminDisableUser', 'AdminEnableUser'];
    expect(
      listOf(own?.statement.Action)
        .map((action) => text(action).split(':')[1])
        .sort(),
      entry,
    ).toEqual(
      [
        ...(entry === 'tasks/accounts' ? changes : []),
        ...['AdminDeleteUser', 'AdminGetUser', 'AdminListGroupsForUser'],
      ].sort(),
    );
    expect(Properties).not.toHaveProperty('VpcConfig');
  }
});

test('invitations come from the address of the configuration, where it has one', () => {
  const emailOf = (from: Assembly) =>
    ofType(from, 'AWS::Cognito::UserPool')[0]?.Properties.EmailConfiguration;
  expect(emailOf(assembly)).toBeUndefined();
  expect(emailOf(federated)).toMatchObject({ EmailSendingAccount: 'DEVELOPER', From: 'people@example.com' });
});
