import type { ApiClient } from '../api-client.ts';
import { tenantPath } from '../api-paths.ts';
import { CommandError } from '../errors.ts';
import type { Move } from './move-json.ts';

/** All moves of a tenant, newest first. */
export async function movesOf(api: ApiClient, slug: string): Promise<Move[]> {
  const moves = await api.list<Move>(`${tenantPath(slug)}/moves`);
  return moves.sort((a, b) => Date.parse(b.startedAt) - Date.parse(a.startedAt));
}

/** @throws {CommandError} when no move of the tenant runs */
export async function runningMove(api: ApiClient, slug: string): Promise<string> {
  const move = (await movesOf(api, slug)).find(({ status }) => status === 'running');
  if (!move) throw new CommandError(`no move of ${slug} is running`);
  return move.moveId;
}

/**
 * The move that runs, else the latest one.
 * @throws {CommandError} when the tenant has never moved
 */
export async function lastMove(api: ApiClient, slug: string): Promise<string> {
  const moves = await movesOf(api, slug);
  const move = moves.find(({ status }) => status === 'running') ?? moves[0];
  if (!move) throw new CommandError(`${slug} has never moved`);
  return move.moveId;
}
