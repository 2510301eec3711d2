/**
 * What a token says about the person who signs in, decided at each sign-in and each refresh.
 *
 * - A person with an account of the user pool gets one tenant: the one that they name, or have chosen, or the only one.
 *   Tenants that have an identity provider are not among them.
 * - A person whom an identity provider has signed in gets the provider's own tenant or none, whatever address the
 *   provider states. The first account of the provider that signs in under a user's address is bound to that user.
 * - Only accounts of the user pool are operators.
 */
import { createHash } from 'node:crypto';
import { logger } from '../aws/logger.ts';
import { OPERATOR_SCOPE, OPERATORS_GROUP } from '../contracts/names.ts';
import type { RegistryExecutor } from '../registry/data-api.ts';
import { type Membership, membershipsOf } from '../registry/memberships.ts';
import { isEmailAddress } from '../resources/email-address.ts';

/** What Cognito tells the trigger about the person. */
export interface SignIn {
  /** `sub`, `email`, `email_verified`, `identities`, `cognito:user_status`. */
  readonly attributes: Readonly<Record<string, string | undefined>>;
  readonly groups: readonly string[];
  /** The slug or id of a tenant that the client names at the sign-in. */
  readonly wish: string | undefined;
}

/** Slug of the tenant that each identity provider of the region vouches for, by the provider's name. */
export type IdentityProviders = Readonly<Record<string, string>>;

export interface SignInClaims {
  readonly claims: Readonly<Record<string, string>>;
  readonly scopes: readonly string[];
}

/** Cognito waits for the trigger, and most sign-ins change nothing. */
const loadChanges = () => import('../registry/sign-ins.ts');

/** Characters of `tenant_users.external_auth_id`. */
const MAX_EXTERNAL_ID = 255;

/** @throws {RegistryError} the registry refused a statement, or does not answer. */
export async function signInClaims(
  registry: RegistryExecutor,
  signIn: SignIn,
  providers: IdentityProviders,
): Promise<SignInClaims> {
  const identity = identityOf(signIn.attributes);
  if (identity === 'unclear') return { claims: {}, scopes: [] };
  const { email, provider } = identity;
  const subject = signIn.attributes.sub ?? '';
  const scopes = provider === undefined && signIn.groups.includes(OPERATORS_GROUP) ? [OPERATOR_SCOPE] : [];
  if (email === undefined) return { claims: {}, scopes };
  const memberships = await membershipsOf(registry, { email, subject });
  if (provider) {
    const slug = providers[provider.name];
    const own = memberships.find((one) => one.slug === slug);
    if (!own || !(await isBound(registry, own, provider))) return { claims: {}, scopes };
    await note(registry, own);
    return { claims: { email, identity_provider: provider.name, ...claimsOf(own) }, scopes };
  }
  const federated = new Set(Object.values(providers));
  const chosen = choose(
    memberships.filter(({ slug }) => !federated.has(slug)),
    signIn.wish,
  );
  if (chosen) await note(registry, chosen);
  return { claims: { email, ...(chosen ? claimsOf(chosen) : {}) }, scopes };
}

/** True when the user is bound to this account of the provider, or is bound now. */
async function isBound(
  registry: RegistryExecutor,
  { userId, externalAuthId }: Membership,
  { name, subject }: NonNullable<Identity['provider']>,
): Promise<boolean> {
  const whole = `${name}:${subject}`;
  // SAML allows longer names of persons than the column has room for.
  const id =
    whole.length <= MAX_EXTERNAL_ID
      ? whole
      : `${name}:sha256:${createHash('sha256').update(subject).digest('hex')}`;
  if (externalAuthId !== null) return externalAuthId === id;
  const { bindExternalId } = await loadChanges();
  return bindExternalId(registry, userId, id);
}

interface Identity {
  /** In lower case; undefined when the account has no address, or nobody has confirmed it. */
  readonly email: string | undefined;
  readonly provider?: { readonly name: string; readonly subject: string };
}

/** `unclear`: an identity provider has a part in it, and it is not clear which one. */
function identityOf(attributes: SignIn['attributes']): Identity | 'unclear' {
  const { email, email_verified: verified, identities, 'cognito:user_status': status } = attributes;
  // ASCII only: the lower case of another letter may be the address of another user.
  const address = email !== undefined && isEmailAddress(email) ? email.toLowerCase() : undefined;
  if (identities === undefined && status !== 'EXTERNAL_PROVIDER') {
    // An address that its owner has not confirmed proves nothing.
    return { email: verified === 'true' ? address : undefined };
  }
  const [only, ...others] = parseIdentities(identities);
  if (!only || others.length > 0) return 'unclear';
  return { email: address, provider: only };
}

function parseIdentities(text: string | undefined): { name: string; subject: string }[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text ?? '');
  } catch {
    return [];
  }
  if (!Array.isArray(parsed)) return [];
  return parsed.map((one: { providerName?: unknown; userId?: unknown } | null) => ({
    name: String(one?.providerName ?? ''),
    subject: String(one?.userId ?? ''),
  }));
}

function choose(found: readonly Membership[], wish: string | undefined): Membership | undefined {
  if (wish) return found.find(({ tenantId, slug }) => wish === tenantId || wish === slug);
  return found.length === 1 ? found[0] : found.find(({ isChosen }) => isChosen);
}

const claimsOf = ({ tenantId, role }: Membership) => ({ tenant_id: tenantId, role });

/** At most once an hour for each user. A failure must not keep a user out. */
async function note(registry: RegistryExecutor, { userId, signedInLately }: Membership): Promise<void> {
  if (signedInLately) return;
  try {
    const { noteSignIn } = await loadChanges();
    await noteSignIn(registry, userId);
  } catch (error) {
    logger.warn('the time of a sign-in was not noted', { error: (error as Error).name });
  }
}
