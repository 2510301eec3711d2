import type { BuildPower } from '../../database/transfer/build-pieces.ts';

/** What a build at the target of a relocation may take: nobody works in that schema yet. */
export const POWER: BuildPower = { memory: '256MB', workers: 2 };
