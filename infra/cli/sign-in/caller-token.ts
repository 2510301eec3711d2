import { CommandError } from '../errors.ts';
import { operatorToken, type Settings } from '../settings.ts';
import { type StoredSignIn, StoredSignIns } from './stored-sign-ins.ts';
import { claimsOf, headerOf } from './token-claims.ts';

/** A token that is valid for less than this is refreshed first, in seconds. */
const MARGIN_S = 60;

/**
 * The token of a command: the given one, that of the sign-in at this API, or on the local platform an operator's,
 * signed with its key.
 * @throws {CommandError} there is none.
 */
export async function callerToken(settings: Settings): Promise<string> {
  if (settings.token) return settings.token;
  const signedIn = await currentSignIn(settings);
  if (signedIn) return signedIn.accessToken;
  if (!settings.local) {
    throw new CommandError('you are not signed in: run strata login, or set STRATA_TOKEN');
  }
  return operatorToken(settings);
}

/**
 * The sign-in at this API, refreshed where its token is about to expire.
 * @throws {SignInEnded} it has ended; {CommandError} its issuer does not answer.
 */
export async function currentSignIn(settings: Settings): Promise<StoredSignIn | undefined> {
  const signIns = new StoredSignIns(settings.configDir);
  const found = signIns.find(settings.apiUrl);
  if (!found || (await isOfFormerPlatform(settings, found))) return undefined;
  if (found.expiresAt - Date.now() / 1000 > MARGIN_S) return found;
  const { refreshed } = await import('./open-id.ts');
  const renewed = await refreshed(found);
  signIns.save(settings.apiUrl, renewed);
  return renewed;
}

/** After `npm start -- --fresh` the platform has another key, and tokens of before count no more. */
async function isOfFormerPlatform(
  { local, stateDir }: Settings,
  { accessToken }: StoredSignIn,
): Promise<boolean> {
  if (!local) return false;
  const { readIdentity } = await import('../../local/index.ts');
  const identity = readIdentity(stateDir);
  const { kid } = headerOf(accessToken);
  const { iss } = claimsOf(accessToken);
  return identity !== undefined && iss?.startsWith('http://') === true && kid !== identity.privateKey.kid;
}
