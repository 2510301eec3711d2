import { join } from 'node:path';
import { reasonOf } from '../errors.ts';
import type { LocalResource, Log, PlatformContext, Properties, ResourceFactory } from '../model.ts';
import { freePort } from '../postgres/free-port.ts';
import type { LocalCertificates } from '../postgres/local-certificates.ts';
import { valkeyProgram } from './valkey-program.ts';
import { startValkey, type ValkeyServer, type ValkeyUser } from './valkey-server.ts';

/** Of each local server; templates allow gigabytes. */
const MAX_MEMORY_MB = 64;

/**
 * `AWS::ElastiCache::ServerlessCache`, its users and their groups. Each cache is a server of its own with the template's
 * users; its content ends with the platform. Without a program on this machine, or when it does not start, the cache's
 * address is a port at which nothing listens: functions bypass it, as in AWS when a cache does not answer.
 */
export class LocalCaches {
  readonly #certificates: LocalCertificates;
  readonly #log: Log;
  readonly #program: string | undefined;
  /** By region and name. */
  readonly #servers = new Map<string, Promise<ValkeyServer | undefined>>();
  #isTold = false;

  constructor(certificates: LocalCertificates, log: Log, program = valkeyProgram()) {
    this.#certificates = certificates;
    this.#log = log;
    this.#program = program;
  }

  factories(): ResourceFactory[] {
    return [
      {
        type: 'AWS::ElastiCache::User',
        create: async ({ properties, stack }, { account }) => {
          const ref = String(properties.UserId);
          const Arn = `arn:aws:elasticache:${stack.region}:${account}:user:${ref}`;
          return { ref, attributes: { Arn, Status: 'active' } };
        },
      },
      {
        type: 'AWS::ElastiCache::UserGroup',
        create: async ({ properties, stack }, { account }) => {
          const ref = String(properties.UserGroupId);
          const Arn = `arn:aws:elasticache:${stack.region}:${account}:usergroup:${ref}`;
          return { ref, attributes: { Arn, Status: 'active' } };
        },
      },
      {
        type: 'AWS::ElastiCache::ServerlessCache',
        create: async ({ properties, stack }, context) => {
          const ref = String(properties.ServerlessCacheName);
          const users = usersOf(String(properties.UserGroupId), stack.region, context);
          const port = await this.#portOf(`${stack.region} ${ref}`, users, context);
          return {
            ref,
            attributes: {
              ARN: `arn:aws:elasticache:${stack.region}:${context.account}:serverlesscache:${ref}`,
              Status: 'available',
              'Endpoint.Address': '127.0.0.1',
              'Endpoint.Port': String(port),
            },
          };
        },
        remove: async ({ ref, stack }, context) => {
          const name = `${context.stacks.get(stack)?.region ?? stack.split(':')[3]} ${ref}`;
          const server = await this.#servers.get(name);
          this.#servers.delete(name);
          await server?.stop();
        },
      },
    ];
  }

  async stop(): Promise<void> {
    const servers = await Promise.all(this.#servers.values());
    await Promise.all(servers.map((server) => server?.stop()));
  }

  async #portOf(name: string, users: readonly ValkeyUser[], context: PlatformContext): Promise<number> {
    const ports = context.state.load<Record<string, number>>('caches', {});
    // A deployment that changes users changes no server that runs: they are the template's fixed ones.
    const starting = this.#servers.get(name) ?? this.#start(name, users, ports[name], context);
    this.#servers.set(name, starting);
    const server = await starting;
    const port = server?.port ?? (await freePort(ports[name], new Set()));
    if (port !== ports[name]) context.state.save('caches', { ...ports, [name]: port });
    return port;
  }

  async #start(
    name: string,
    users: readonly ValkeyUser[],
    port: number | undefined,
    { stateDir }: PlatformContext,
  ): Promise<ValkeyServer | undefined> {
    if (!this.#program) return this.#without('neither valkey-server nor redis-server is installed');
    try {
      return await startValkey({
        program: this.#program,
        directory: join(stateDir, 'caches', name.replace(' ', '-')),
        certificate: this.#certificates.serverCertificate,
        key: this.#certificates.serverKey,
        users,
        maxMemoryMb: MAX_MEMORY_MB,
        port,
      });
    } catch (cause) {
      return this.#without(reasonOf(cause));
    }
  }

  #without(reason: string): undefined {
    if (!this.#isTold) this.#log(`no cache of tenants' data and no limits of requests: ${reason}`);
    this.#isTold = true;
  }
}

/** The users of a group, from the templates of the region. */
function usersOf(groupId: string, region: string, { stacks }: PlatformContext): ValkeyUser[] {
  const resources = [...stacks.values()]
    .filter((stack) => stack.region === region)
    .flatMap((stack) => [...stack.resources.values()]);
  const ofType = (type: string): LocalResource[] => resources.filter((one) => one.type === type);
  const group = ofType('AWS::ElastiCache::UserGroup').find(({ ref }) => ref === groupId);
  const ids = (group?.properties.UserIds ?? []) as string[];
  return ofType('AWS::ElastiCache::User')
    .filter(({ ref }) => ids.includes(ref))
    .map(({ properties }) => userOf(properties));
}

function userOf({ UserName, AccessString, AuthenticationMode }: Properties): ValkeyUser {
  const { Passwords = [] } = (AuthenticationMode ?? {}) as { Passwords?: string[] };
  return { name: String(UserName), access: String(AccessString), password: String(Passwords[0]) };
}
