/**
 * One gateway per AWS region of the assembly, in front of that region's HTTP APIs.
 *
 * States: listening (home's and those of the last start, before the assembly is known) → opened (one per region, URLs
 * are known) → serving → closed. Until they serve, all answer 503. Home has the given port; each further region has a
 * loopback port of its own, which stays the same while it is free.
 */
import { PlatformError, PortBusy } from '../errors.ts';
import type { DeployedStack, Functions, Log, StateFile } from '../model.ts';
import { freePort } from '../postgres/free-port.ts';
import { type HttpApi, httpApis } from './http-api.ts';
import { HttpGateway } from './http-gateway.ts';
import type { JwtAuthorizer } from './jwt-authorizer.ts';

export interface RegionalGatewaysOptions {
  functions: Functions;
  authorizer: JwtAuthorizer;
  state: StateFile;
  log: Log;
}

const stateName = 'gateways';

/** Between the databases' ports and those that systems use for outgoing connections. */
const portRange = { from: 30_000, to: 32_000 };

export class RegionalGateways {
  readonly #options: RegionalGatewaysOptions;
  readonly #all: HttpGateway[] = [];
  /** Gateways that listen before it is known whether their regions exist. */
  readonly #early = new Map<string, HttpGateway>();
  readonly #byRegion = new Map<string, HttpGateway>();
  readonly #urls = new Map<string, string>();
  #homePort = 0;

  constructor(options: RegionalGatewaysOptions) {
    this.#options = options;
  }

  /** At home. @throws {PortBusy} */
  async listen(homePort: number): Promise<void> {
    this.#homePort = homePort;
    await this.#gateway().listen(homePort);
  }

  /** On the ports of further regions at the last start, when they are free. */
  async listenAgain(): Promise<void> {
    for (const [region, port] of Object.entries(this.#remembered())) {
      const gateway = this.#gateway();
      try {
        await gateway.listen(port);
        this.#early.set(region, gateway);
      } catch (cause) {
        if (!(cause instanceof PortBusy)) throw cause;
      }
    }
  }

  /** @param regions home first */
  async open([home, ...others]: readonly string[]): Promise<void> {
    this.#serveAt(home!, this.#all[0]!, this.#homePort);
    const { state } = this.#options;
    const remembered = this.#remembered();
    for (const region of others) {
      const early = this.#early.get(region);
      this.#early.delete(region);
      remembered[region] = early
        ? this.#serveAt(region, early, remembered[region]!)
        : await this.#listenAnywhere(region, remembered[region]);
    }
    if (others.length > 0) state.save(stateName, remembered);
    await Promise.all([...this.#early.values()].map((gateway) => gateway.close()));
  }

  /** By AWS region, home first; none before they are opened. */
  get urls(): ReadonlyMap<string, string> {
    return this.#urls;
  }

  /** @throws {PlatformError} for a region without stacks in the assembly */
  urlOf(region: string): string {
    const url = this.#urls.get(region);
    if (!url) throw new PlatformError(`no gateway serves region ${region}`);
    return url;
  }

  /** Starts to serve the APIs of these stacks, each in its region. @returns them by region */
  serve(stacks: Iterable<DeployedStack>): Map<string, HttpApi[]> {
    const all = [...stacks];
    const served = new Map<string, HttpApi[]>();
    for (const [region, gateway] of this.#byRegion) {
      const apis = httpApis(all.filter((stack) => stack.region === region));
      gateway.serve(apis);
      served.set(region, apis);
    }
    return served;
  }

  /** Lets open requests end for a moment, then cuts them off. Never rejects. */
  async close(): Promise<void> {
    await Promise.all(this.#all.map((gateway) => gateway.close()));
  }

  /** @returns the port: the previous one, if it is free */
  async #listenAnywhere(region: string, before: number | undefined): Promise<number> {
    const port = await freePort(before, new Set(), portRange);
    if (before !== undefined && port !== before) {
      this.#options.log(`port ${before} is busy: the API of ${region} is on port ${port} from now on`);
    }
    const gateway = this.#gateway();
    await gateway.listen(port);
    return this.#serveAt(region, gateway, port);
  }

  /** Ports by region, without home's. */
  #remembered(): Record<string, number> {
    return this.#options.state.load<Record<string, number>>(stateName, {});
  }

  #gateway(): HttpGateway {
    const gateway = new HttpGateway(this.#options);
    this.#all.push(gateway);
    return gateway;
  }

  #serveAt(region: string, gateway: HttpGateway, port: number): number {
    this.#byRegion.set(region, gateway);
    this.#urls.set(region, `http://127.0.0.1:${port}`);
    return port;
  }
}
