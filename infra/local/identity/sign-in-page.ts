import type { PoolClient } from './user-pools.ts';

/** Enough to tell an address from a name. */
export const ADDRESS = /^[^@\s]+@[^@\s]+$/;

interface PageOptions {
  poolId: string;
  /** The request for a code, which the form sends along. */
  query: URLSearchParams;
  client: PoolClient;
  /** Why the last attempt was refused. */
  complaint?: string;
}

/** The page that stands in for Cognito's managed login. */
export function signInPage({ poolId, query, client, complaint }: PageOptions): string {
  const [provider] = client.providers.filter((one) => one !== 'COGNITO');
  const external = provider !== undefined && !client.providers.includes('COGNITO');
  const heading = external ? `Sign in with ${provider}` : 'Sign in';
  const note = external
    ? 'This page stands in for the identity provider: whatever it states about you here counts.'
    : 'Local platform: the address of an account is enough, there are no passwords.';
  const subject = external
    ? '<label>Subject at the provider <input name="subject" autocomplete="off"></label>'
    : '';
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(heading)}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 24rem; margin: 4rem auto; padding: 0 1rem; }
label, input, button { display: block; width: 100%; box-sizing: border-box; margin: .5rem 0; font: inherit; }
input, button { padding: .5rem; }
[role=alert] { color: #a00; }
</style></head>
<body><h1>${escaped(heading)}</h1>
${complaint === undefined ? '' : `<p role="alert">${escaped(complaint)}</p>`}
<form method="post" action="/${escaped(poolId)}/login">
<input type="hidden" name="request" value="${escaped(query.toString())}">
<label>E-mail <input name="email" type="email" required autofocus autocomplete="email"></label>
${subject}
<button>Sign in</button>
</form><p>${escaped(note)}</p></body></html>
`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
