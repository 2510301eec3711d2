/**
 * Imports a whole skills framework. A framework is known by its name and version, a skill of it by its name.
 *
 *   unknown ──▶ created (201)
 *   known, and nothing differs ──▶ unchanged (200): no row is written, and no audit entry
 *   known, and something differs ──▶ updated (200): afterwards the framework has exactly the skills of the import
 *
 * One transaction. Imports of one framework run one after the other, by the lock of its row. Refused, with no change: a
 * skill that the import no longer has and others refer to; a level that the import removes and others use.
 */
import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import type { TenantTransaction } from '../database/session/tenant-session.ts';
import { tenantStatement } from '../database/session/tenant-sql.ts';
import type { TenantAccess } from '../placement/tenant-router.ts';
import { requireDocumentSize } from '../resources/documents.ts';
import { entityTag } from '../resources/entity-tag.ts';
import { ResourceConflict } from '../resources/errors.ts';
import { toItem } from '../resources/field-names.ts';
import { type RecordedChange, recordFields } from './audit-changes.ts';
import { type Actor, auditInsert } from './audit-log.ts';
import { frameworks } from './frameworks.ts';
import { createOnce, type IdempotencyUse, type KeptAnswer } from './idempotent-create.ts';
import { levelsOf } from './proficiency-levels.ts';
import { anyTable, type Values } from './resource.ts';
import type { Created } from './resource-store.ts';
import { skillsInUse, usedLevels } from './skill-references.ts';
import { levelInUse, skills } from './skills.ts';

export interface FrameworkImport {
  readonly frameworkName: string;
  readonly version: string;
  readonly frameworkType?: string | null | undefined;
  readonly description?: string | null | undefined;
  readonly frameworkData?: unknown;
  /** A framework that exists keeps its value when absent. */
  readonly isActive?: boolean | undefined;
  readonly skills: readonly ImportedSkill[];
}

export interface ImportedSkill {
  /** No two skills of an import have the same name. */
  readonly skillName: string;
  readonly skillCategory?: string | null | undefined;
  readonly description?: string | null | undefined;
  readonly proficiencyLevels?: readonly string[] | null | undefined;
}

/** How many skills of the framework the import has changed. */
export interface ImportedSkills {
  readonly created: number;
  readonly updated: number;
  readonly unchanged: number;
  readonly removed: number;
}

export interface ImportRequest {
  readonly input: FrameworkImport;
  /** The path of a framework. */
  readonly locate: (frameworkId: string) => string;
  readonly idempotency: IdempotencyUse | undefined;
}

/** @throws {ResourceConflict | DocumentTooLarge | IdempotencyKeyReused} */
export async function importFramework(
  tenant: TenantAccess,
  actor: Actor,
  { input, locate, idempotency }: ImportRequest,
): Promise<Created> {
  requireDocumentSize('frameworkData', input.frameworkData);
  const run = async (transaction: TenantTransaction): Promise<KeptAnswer> => {
    const { framework, isNew, skills } = await importInto(transaction, actor, input);
    const item = toItem(framework);
    return {
      status: isNew ? 201 : 200,
      location: locate(framework.framework_id),
      etag: entityTag(item),
      body: { ...item, skills },
    };
  };
  const runIn = async (changed: TenantAccess): Promise<Created> =>
    idempotency
      ? createOnce(changed, idempotency, run)
      : { answer: await changed.transaction('write', run), replayed: false };
  if (!tenant.cache) return runIn(tenant);
  const { changeCached } = await import('./cached-resources.ts');
  return changeCached(tenant, skills.resource, { kind: 'update', key: {} }, runIn);
}

interface FrameworkRow extends Values {
  readonly framework_id: string;
}

async function importInto(transaction: TenantTransaction, actor: Actor, input: FrameworkImport) {
  const wanted: Values = {
    framework_type: input.frameworkType ?? null,
    description: input.description ?? null,
    framework_data: input.frameworkData ?? null,
    ...(input.isActive === undefined ? {} : { is_active: input.isActive }),
  };
  const { stored, isNew } = await findOrInsert(transaction, input, wanted);
  const differences = compareSkills(input.skills, await lockSkillsOf(transaction, stored.framework_id));
  const { created, updated, removed, unchanged } = differences;
  const counts = {
    created: created.length,
    updated: updated.length,
    unchanged,
    removed: removed.length,
  };
  const differs = Object.entries(wanted).some(([column, value]) => !isDeepStrictEqual(stored[column], value));
  const hasOtherSkills = created.length + updated.length + removed.length > 0;
  if (!isNew && !differs && !hasOtherSkills) return { framework: stored, isNew, skills: counts };
  await requireUnused(transaction, differences);
  await writeSkills(transaction, stored.framework_id, differences);
  const framework = isNew ? stored : await update(transaction, stored.framework_id, wanted);
  const { frameworkName, version } = input;
  const entry = {
    action: 'framework.import',
    resourceType: frameworks.resource.type,
    resourceId: stored.framework_id,
    requestData: { frameworkName, version, skills: counts },
    responseStatus: isNew ? 201 : 200,
  };
  const changes = changesOf(isNew ? undefined : stored, wanted, differences);
  await transaction.query(auditInsert(actor, entry, changes));
  return { framework, isNew, skills: counts };
}

/** The framework's fields that differ, and the skills that are created, updated or removed. */
function changesOf(
  stored: FrameworkRow | undefined,
  wanted: Values,
  { created, updated, removed }: SkillDifferences,
): RecordedChange {
  const differing = Object.keys(wanted).filter(
    (column) => !isDeepStrictEqual(stored?.[column] ?? null, wanted[column]),
  );
  const fieldsOf = (row: Values, skills: readonly object[]) => ({
    ...toItem(Object.fromEntries(differing.map((column) => [column, row[column]]))),
    ...(skills.length === 0 ? {} : { skills: skills.map(toItem) }),
  });
  const before = stored && fieldsOf(stored, [...updated.map((skill) => skill.before), ...removed]);
  return recordFields(before, fieldsOf(wanted, [...updated.map((skill) => skill.after), ...created]));
}

/** The framework's row, locked. */
async function findOrInsert(
  transaction: TenantTransaction,
  { frameworkName, version }: FrameworkImport,
  values: Values,
): Promise<{ stored: FrameworkRow; isNew: boolean }> {
  const columns = sql.join(frameworks.resource.columns.map((column) => sql.ref(column)));
  const find = tenantStatement(sql<FrameworkRow>`SELECT ${columns} FROM skills_frameworks
    WHERE framework_name = ${frameworkName} AND version = ${version}
    ORDER BY created_at, framework_id LIMIT 1 FOR UPDATE`);
  const [known] = await transaction.query(find);
  if (known) return { stored: known, isNew: false };
  // Another import may insert the same framework at this moment: this one waits for it, and then finds the row.
  const [inserted] = await transaction.query<FrameworkRow>(
    anyTable
      .insertInto('skills_frameworks')
      .values({ ...asColumns(values), framework_name: frameworkName, version })
      .onConflict((conflict) => conflict.doNothing())
      .returning([...frameworks.resource.columns]),
  );
  if (inserted) return { stored: inserted, isNew: true };
  const [other] = await transaction.query(find);
  if (!other) throw new ResourceConflict('The framework is being changed at this moment.');
  return { stored: other, isNew: false };
}

async function update(
  transaction: TenantTransaction,
  frameworkId: string,
  values: Values,
): Promise<FrameworkRow> {
  const [updated] = await transaction.query<FrameworkRow>(
    anyTable
      .updateTable('skills_frameworks')
      .set({ ...asColumns(values), updated_at: sql`now()` })
      .where('framework_id', '=', frameworkId)
      .returning([...frameworks.resource.columns]),
  );
  return updated as FrameworkRow;
}

/** `framework_data` travels as JSON text. */
function asColumns(values: Values): Record<string, unknown> {
  const { framework_data: data } = values;
  return { ...values, framework_data: data === null ? null : JSON.stringify(data) };
}

interface SkillRow {
  readonly skill_id: string;
  readonly skill_name: string;
  readonly skill_category: string | null;
  readonly description: string | null;
  readonly proficiency_levels: readonly string[] | null;
}

function lockSkillsOf(transaction: TenantTransaction, frameworkId: string): Promise<SkillRow[]> {
  return transaction.query(
    tenantStatement(sql<SkillRow>`
      SELECT skill_id, skill_name, skill_category, description, proficiency_levels
      FROM skills WHERE framework_id = ${frameworkId}::uuid ORDER BY skill_id FOR UPDATE`),
  );
}

type NewSkill = Omit<SkillRow, 'skill_id'>;

interface SkillDifferences {
  readonly created: readonly NewSkill[];
  readonly updated: readonly { readonly before: SkillRow; readonly after: SkillRow }[];
  readonly removed: readonly SkillRow[];
  readonly unchanged: number;
}

function compareSkills(imported: readonly ImportedSkill[], stored: readonly SkillRow[]): SkillDifferences {
  const left = new Map(stored.toReversed().map((skill) => [skill.skill_name, skill]));
  const kept = new Set<string>();
  const created: NewSkill[] = [];
  const updated: { before: SkillRow; after: SkillRow }[] = [];
  for (const { skillName, skillCategory, description, proficiencyLevels } of imported) {
    const skill: NewSkill = {
      skill_name: skillName,
      skill_category: skillCategory ?? null,
      description: description ?? null,
      proficiency_levels: proficiencyLevels ?? null,
    };
    const before = left.get(skillName);
    if (!before) {
      created.push(skill);
      continue;
    }
    kept.add(before.skill_id);
    const after = { ...skill, skill_id: before.skill_id };
    if (!isDeepStrictEqual({ ...before }, { ...after })) updated.push({ before, after });
  }
  const removed = stored.filter(({ skill_id }) => !kept.has(skill_id));
  return { created, updated, removed, unchanged: kept.size - updated.length };
}

/** @throws {ResourceConflict} the differences would take something away that others use. */
async function requireUnused(
  transaction: TenantTransaction,
  { updated, removed }: SkillDifferences,
): Promise<void> {
  const lost = new Map<string, readonly string[]>();
  for (const { before, after } of updated) {
    const kept = levelsOf(after.proficiency_levels);
    const gone = levelsOf(before.proficiency_levels).filter((level) => !kept.includes(level));
    if (gone.length > 0) lost.set(before.skill_id, gone);
  }
  if (lost.size > 0) {
    const used = await usedLevels(transaction, [...lost.keys()]);
    const missing = used.find(({ skill_id, level }) => lost.get(skill_id)?.includes(level));
    if (missing) throw levelInUse(missing.level);
  }
  if (removed.length > 0) {
    const ids = removed.map(({ skill_id }) => skill_id);
    const used = await skillsInUse(transaction, ids);
    const skill = removed.find(({ skill_id }) => used.has(skill_id));
    if (skill) {
      throw new ResourceConflict(
        `The import has no skill "${skill.skill_name}", to which other resources refer.`,
        'skills',
      );
    }
  }
}

async function writeSkills(
  transaction: TenantTransaction,
  frameworkId: string,
  { created, updated, removed }: SkillDifferences,
): Promise<void> {
  const columns = sql.raw('skill_name text, skill_category text, description text, proficiency_levels jsonb');
  const asDocument = (skills: readonly object[]) => JSON.stringify(skills);
  const ids = removed.map(({ skill_id }) => skill_id);
  const changed = updated.map(({ after }) => after);
  const statements = [
    ...(removed.length === 0 ? [] : [sql`DELETE FROM skills WHERE skill_id = ANY (${ids}::uuid[])`]),
    ...(created.length === 0
      ? []
      : [
          sql`INSERT INTO skills (skill_name, skill_category, description, proficiency_levels, framework_id)
            SELECT n.skill_name, n.skill_category, n.description, n.proficiency_levels, ${frameworkId}::uuid
            FROM jsonb_to_recordset(${asDocument(created)}::jsonb) AS n(${columns})`,
        ]),
    ...(updated.length === 0
      ? []
      : [
          sql`UPDATE skills SET skill_category = n.skill_category, description = n.description,
              proficiency_levels = n.proficiency_levels, updated_at = now()
            FROM jsonb_to_recordset(${asDocument(changed)}::jsonb) AS n(skill_id uuid, ${columns})
            WHERE skills.skill_id = n.skill_id`,
        ]),
  ];
  await Promise.all(statements.map((statement) => transaction.query(tenantStatement(statement))));
}
