import { type SqlBool, sql } from 'kysely';
import { TablesBehind } from '../database/errors.ts';
import { tenantSql } from '../database/session/tenant-sql.ts';
import type { TenantAccess } from '../placement/tenant-router.ts';
import { MAX_PAGE_BYTES, type PageRequest, pageOfRows, sizeInAnswer } from '../resources/keyset-page.ts';
import {
  cursorIn,
  type ListOrder,
  orderOf,
  readCursorIn,
  type SortColumn,
  sortNames,
} from '../resources/list-order.ts';
import { patternOf } from '../resources/literal-search.ts';
import { rowsAfter } from './resource-statements.ts';

/** How many employees have a skill, and how well. */
export interface SkillSummary {
  readonly skillId: string;
  readonly skillName: string;
  readonly skillCategory: string | null;
  /** Employees who have the skill. */
  readonly employeeCount: number;
  /** Those of them whose level is one of the skill's levels. */
  readonly ratedCount: number;
  /** Those of them whose skill is verified. */
  readonly verifiedCount: number;
  /** The mean position of their levels, from 1 to `levelCount`, with two decimals; null when nobody is rated. */
  readonly averageProficiency: number | null;
  /** The number of the skill's levels. */
  readonly levelCount: number;
}

export interface SkillsSummaryPage {
  readonly items: readonly SkillSummary[];
  readonly nextCursor: string | null;
  /** RFC 3339. What was written later is not in the items. Null before the first refresh. */
  readonly refreshedAt: string | null;
}

export interface SkillsSummaryFilter {
  readonly skillId?: string | undefined;
  readonly skillCategory?: string | undefined;
  readonly frameworkId?: string | undefined;
  /** Part of the skill's name or description, in any case. */
  readonly search?: string | undefined;
  /** Only skills that so many employees have, or more. */
  readonly minEmployees?: number | undefined;
  /** One of `summarySorts`. */
  readonly sort?: string | undefined;
}

/** The columns that the list can be sorted by, and where they are. The first one is the default. */
const SORTS: readonly (SortColumn & { readonly from: string })[] = [
  { column: 'created_at', type: 'time', from: 'skills.created_at' },
  { column: 'skill_name', type: 'text', from: 'skills.skill_name' },
  { column: 'employee_count', type: 'number', from: 'skills_summary.employee_count' },
  {
    column: 'average_proficiency',
    type: 'number',
    nullable: true,
    from: 'skills_summary.avg_proficiency',
  },
];

export const summarySorts = sortNames(SORTS);

/**
 * A page of the tenant's summary, as of its last refresh; names and categories of skills are the present ones. Empty, with
 * `refreshedAt: null`, before the first refresh at the tenant's place, and while its tables are of a version without the
 * summary.
 * @throws {InvalidCursor}
 */
export async function listSkillsSummary(
  tenant: TenantAccess,
  filter: SkillsSummaryFilter,
  page: PageRequest,
): Promise<SkillsSummaryPage> {
  const order = orderOf(SORTS, 'skill_id', filter.sort);
  const statements = [selectSummaries(filter, page, order), selectRefresh()] as const;
  try {
    const [rows, [refresh]] = await tenant.batchForAnalytics(statements);
    const cursorOf = ({ createdAt, ...item }: (typeof rows)[number]) =>
      cursorIn(order, {
        skill_id: item.skillId,
        created_at: createdAt,
        skill_name: item.skillName,
        employee_count: item.employeeCount,
        average_proficiency: item.averageProficiency,
      });
    const toEntry = ({ createdAt: _, ...item }: (typeof rows)[number]): SkillSummary => item;
    const bounds = { limit: page.limit, maxBytes: MAX_PAGE_BYTES, sizeOf: sizeInAnswer, cut: false };
    return { ...pageOfRows(rows, bounds, cursorOf, toEntry), refreshedAt: refresh?.refreshed_at ?? null };
  } catch (error) {
    if (error instanceof TablesBehind) return { items: [], nextCursor: null, refreshedAt: null };
    throw error;
  }
}

function selectSummaries(filter: SkillsSummaryFilter, { limit, cursor }: PageRequest, order: ListOrder) {
  const { skillId, skillCategory, frameworkId, search, minEmployees } = filter;
  const column = SORTS.find((sort) => sort.column === order.column)?.from as string;
  const direction = order.descending ? sql` DESC` : sql``;
  const after =
    cursor === undefined
      ? []
      : rowsAfter({ ...order, column, id: 'skills.skill_id' }, readCursorIn(order, cursor));
  return tenantSql
    .selectFrom('skills_summary')
    .innerJoin('skills', 'skills.skill_id', 'skills_summary.skill_id')
    .select([
      'skills.skill_id as skillId',
      'skills.skill_name as skillName',
      'skills.skill_category as skillCategory',
      'skills_summary.employee_count as employeeCount',
      'skills_summary.rated_count as ratedCount',
      'skills_summary.verified_count as verifiedCount',
      'skills_summary.avg_proficiency as averageProficiency',
      'skills_summary.level_count as levelCount',
      'skills.created_at as createdAt',
    ])
    .$if(skillId !== undefined, (query) => query.where('skills.skill_id', '=', skillId as string))
    .$if(skillCategory !== undefined, (query) =>
      query.where('skills.skill_category', '=', skillCategory as string),
    )
    .$if(frameworkId !== undefined, (query) => query.where('skills.framework_id', '=', frameworkId as string))
    .$if(minEmployees !== undefined, (query) =>
      query.where('skills_summary.employee_count', '>=', minEmployees as number),
    )
    .$if(search !== undefined, (query) => {
      const pattern = patternOf(search as string);
      return query.where((where) =>
        where.or([
          where('skills.skill_name', 'ilike', pattern),
          where('skills.description', 'ilike', pattern),
        ]),
      );
    })
    .$if(after.length > 0, (query) => query.where(sql<SqlBool>`(${sql.join(after, sql` OR `)})`))
    .orderBy(sql`${sql.ref(column)}${direction}`)
    .orderBy(sql`skills.skill_id${direction}`)
    .limit(limit + 1);
}

const selectRefresh = () => tenantSql.selectFrom('skills_summary_refresh').select('refreshed_at');
