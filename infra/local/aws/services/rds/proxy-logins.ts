/**
 * Refuses the logins of roles whose secrets a proxy accepted earlier and no longer accepts, as RDS Proxy does: only new
 * sessions are refused, open ones continue.
 *
 * A proxy's endpoint is its cluster's server, which cannot tell a login through the proxy from a direct one. So a role
 * is refused only after a proxy has accepted it once. The owner and the master, which sign in directly, are never
 * refused, and neither is a role whose secret was not registered yet, which AWS would refuse.
 */
import type { Clusters, StateFile } from '../../../model.ts';
import { type SecretStore, versionIdOf } from '../secrets-manager/secret-store.ts';
import type { DatabaseProxy, RdsStore } from './rds-store.ts';

const DOCUMENT = 'proxy-logins';

export interface ProxyLoginsOptions {
  store: RdsStore;
  secrets: SecretStore;
  clusters: Pick<Clusters, 'refuseLogins'>;
  state: StateFile;
}

export class ProxyLogins {
  readonly #options: ProxyLoginsOptions;
  /** ARNs of the existing secrets that each proxy has ever accepted, by the proxy's ARN. */
  readonly #known: Record<string, string[]>;

  constructor(options: ProxyLoginsOptions) {
    this.#options = options;
    this.#known = options.state.load<Record<string, string[]>>(DOCUMENT, {});
  }

  /** Applies a proxy's Auth list to its servers; call it whenever the list or the targets have changed. */
  async enforce(proxyName: string, region: string): Promise<void> {
    const { store, secrets, state } = this.#options;
    const proxy = store.findProxy(proxyName, region);
    if (!proxy) return;
    const known = new Set([...(this.#known[proxy.arn] ?? []), ...acceptedBy(proxy)]);
    const existing = [...known].filter((arn) => secrets.find(arn, region) !== undefined);
    if (String(existing) !== String(this.#known[proxy.arn] ?? [])) {
      this.#known[proxy.arn] = existing;
      state.save(DOCUMENT, this.#known);
    }
    await Promise.all(this.#clustersOf(proxy).map((arn) => this.#refuse(arn, region)));
  }

  forget(proxyArn: string): void {
    delete this.#known[proxyArn];
    this.#options.state.save(DOCUMENT, this.#known);
  }

  async #refuse(clusterArn: string, region: string): Promise<void> {
    const { store, clusters } = this.#options;
    const proxies = [...store.proxies.values()].filter((proxy) =>
      this.#clustersOf(proxy).includes(clusterArn),
    );
    const rolesOf = (arns: string[]) => arns.flatMap((arn) => this.#roleOf(arn, region) ?? []);
    const accepted = new Set(rolesOf(proxies.flatMap(acceptedBy)));
    const known = rolesOf(proxies.flatMap(({ arn }) => this.#known[arn] ?? []));
    const refused = [...new Set(known)].filter((role) => !accepted.has(role));
    await clusters.refuseLogins(clusterArn, refused.sort());
  }

  #clustersOf({ name, region }: DatabaseProxy): string[] {
    const { store } = this.#options;
    return [...store.targetGroups.values()]
      .filter((group) => group.proxyName === name && group.region === region)
      .flatMap((group) => group.clusterIdentifiers)
      .flatMap((identifier) => store.clusterByIdentifier(identifier, region)?.arn ?? []);
  }

  #roleOf(secretArn: string, region: string): string | undefined {
    return currentLogin(this.#options.secrets, secretArn, region)?.username;
  }
}

/** The current role and password of a secret; undefined when it does not exist, or is not JSON with both. */
export function currentLogin(
  secrets: SecretStore,
  secretArn: string,
  region: string,
): { username: string; password: string } | undefined {
  const secret = secrets.find(secretArn, region);
  const value = secret?.versions[versionIdOf(secret, 'AWSCURRENT') ?? '']?.secretString;
  if (value === undefined) return undefined;
  try {
    const { username, password } = JSON.parse(value) as { username?: unknown; password?: unknown };
    return typeof username === 'string' && typeof password === 'string' ? { username, password } : undefined;
  } catch {
    return undefined;
  }
}

function acceptedBy({ auth }: DatabaseProxy): string[] {
  return auth.flatMap(({ SecretArn }) => SecretArn ?? []);
}
