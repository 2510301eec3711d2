import * as z from 'zod/mini';
import { namedIssues } from '../contracts/input-issues.ts';
import { readInput } from '../resources/read-input.ts';
import { InvalidExportInput } from './errors.ts';

/** The input of `tenant-export`. */
export interface ExportInput {
  /** Id or slug. */
  readonly tenant: string;
  /** Id of the row that was inserted before the execution was started. */
  readonly exportId: string | undefined;
  /** The succeeded backup to export; if undefined, the export makes a new backup. */
  readonly backupId: string | undefined;
  /** The operator who requested the export; undefined if the execution's starter requested it. */
  readonly startedBy: string | undefined;
}

const reference = z
  .string('must be the id or slug of a tenant')
  .check(z.regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be the id or slug of a tenant'));

const input = z.strictObject(
  {
    tenantId: z.optional(reference),
    slug: z.optional(reference),
    exportId: z.optional(z.uuid('must be a UUID')),
    backupId: z.optional(z.uuid('must be a UUID')),
    startedBy: z.optional(
      z
        .string('must be a string')
        .check(z.minLength(1), z.maxLength(255))
        .check(
          z.refine(
            (text) => !text.includes('\0') && text.isWellFormed(),
            'must not contain NUL or malformed characters',
          ),
        ),
    ),
  },
  'must be a JSON object',
);

/** Validates the input of an execution. @throws {InvalidExportInput} it names every wrong field. */
export function readExportInput(value: unknown): ExportInput {
  const { data, issues } = readInput(input, value);
  if (issues) {
    throw new InvalidExportInput(namedIssues(issues));
  }
  const { tenantId, slug, exportId, backupId, startedBy } = data;
  const tenant = tenantId ?? slug;
  if (tenant === undefined || (tenantId !== undefined && slug !== undefined)) {
    throw new InvalidExportInput([{ path: '', message: 'give exactly one of tenantId and slug' }]);
  }
  return { tenant, exportId, backupId, startedBy };
}
