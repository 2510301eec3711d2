import { bodyOf, type Schemas } from '../api-client.ts';
import type { Command } from '../command.ts';
import { UsageError } from '../errors.ts';
import { patiently, pollPause } from '../polling.ts';
import { shownText } from '../shown-text.ts';
import { LISTING_FLAGS, minute, showList } from '../table.ts';

type Rotation = Schemas['CredentialRotation'];

export const rotateCredentials: Command = {
  name: 'rotate-credentials',
  words: '[SLUG]',
  options: { cell: 'CELL', registry: 'REGION' },
  flags: ['owner', 'now', 'watch'],
  summary: 'replaces a database password of a tenant, a cell or a registry; --now ends a leaked one at once',
  async run({ words: [slug], flags, options }, { api, screen }) {
    const [cell, region] = [options.get('cell'), options.get('registry')];
    const named = [slug, cell, region].filter((each) => each !== undefined);
    if (named.length !== 1) throw new UsageError('name one of SLUG, --cell CELL and --registry REGION');
    if (region !== undefined && flags.has('owner')) throw new UsageError('a registry has no owner to rotate');
    const client = await api();
    const { operations } = client;
    const now = flags.has('now') ? { now: true } : {};
    const owner = flags.has('owner') ? ({ role: 'owner' } as const) : {};
    const asked =
      slug !== undefined
        ? operations.POST('/tenants/{tenantId}/credential-rotation', {
            params: { path: { tenantId: slug } },
            body: { ...owner, ...now },
          })
        : cell !== undefined
          ? operations.POST('/cells/{cellId}/credential-rotation', {
              params: { path: { cellId: cell } },
              body: { ...owner, ...now },
            })
          : operations.POST('/regions/{regionKey}/credential-rotation', {
              params: { path: { regionKey: region ?? '' } },
              body: now,
            });
    const { credentialRotationId: id } = await bodyOf(asked);
    screen.line(`rotation ${id} of ${named[0]} has started`);
    if (!flags.has('watch')) {
      screen.line('see it with: strata credential-rotations');
      return true;
    }
    let phase: string | undefined;
    for (;;) {
      const rotation = await patiently(() => client.get<Rotation>(`/credential-rotations/${id}`));
      if (rotation.phase !== phase) screen.line(rotation.phase);
      phase = rotation.phase;
      if (rotation.status !== 'running') {
        const isDone = rotation.status === 'succeeded';
        const why = rotation.reason ? `: ${shownText(rotation.reason)}` : '';
        screen.line(screen.paint(isDone ? 'green' : 'red', `${rotation.status}${why}`));
        return isDone;
      }
      await pollPause();
    }
  },
};

export const credentialRotations: Command = {
  name: 'credential-rotations',
  words: '',
  flags: LISTING_FLAGS,
  summary: 'rotations of database passwords, newest first',
  async run({ flags }, { api, screen }) {
    const client = await api();
    const known = await client.all('/credential-rotations');
    known.sort((a, b) => Date.parse(b.startedAt) - Date.parse(a.startedAt));
    showList(screen, flags, known, {
      titles: ['started', 'rotation', 'kind', 'of', 'status', 'phase', 'finished'],
      rowOf: (one) => [
        minute(one.startedAt),
        one.credentialRotationId,
        one.now ? `${one.kind}, now` : one.kind,
        one.tenantId ?? one.cellId ?? one.region,
        one.status,
        one.phase,
        one.finishedAt && minute(one.finishedAt),
      ],
    });
    return true;
  },
};
