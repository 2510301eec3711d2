import {
  createdAt,
  date,
  jsonb,
  newId,
  numeric,
  text,
  timestamptz,
  updatedAt,
  uuid,
  varchar,
} from './column.ts';
import { tenantTable } from './tenant-table.ts';

export const assessments = tenantTable(
  'assessments',
  {
    assessment_id: newId(),
    assessment_name: varchar(255).notNull(),
    assessment_type: varchar(100).oneOf('skills', 'competency', '360'),
    description: text(),
    framework_id: uuid(),
    status: varchar(50).oneOf('draft', 'published', 'archived').notNull().default(`'draft'`),
    created_by: uuid(),
    questions: jsonb(),
    scoring_config: jsonb(),
    created_at: createdAt(),
    updated_at: updatedAt(),
  },
  {
    primaryKey: ['assessment_id'],
    foreignKeys: [
      { column: 'framework_id', references: 'skills_frameworks' },
      { column: 'created_by', references: 'employees' },
    ],
    indexes: [
      { name: 'created', columns: ['created_at', 'assessment_id'] },
      { name: 'status', columns: ['status', 'created_at', 'assessment_id'] },
      { name: 'framework', columns: ['framework_id'] },
      { name: 'created_by', columns: ['created_by'] },
      { name: 'assessment_name', columns: ['assessment_name', 'assessment_id'], since: 4 },
      { name: 'type', columns: ['assessment_type', 'created_at', 'assessment_id'], since: 4 },
    ],
    rules: [
      {
        name: 'published',
        rule: "status = 'draft' OR (questions IS NOT NULL AND scoring_config IS NOT NULL)",
        since: 4,
      },
    ],
  },
);

export const assessmentResults = tenantTable(
  'assessment_results',
  {
    result_id: newId(),
    assessment_id: uuid(),
    employee_id: uuid(),
    started_at: timestamptz(),
    completed_at: timestamptz(),
    status: varchar(50).oneOf('in_progress', 'completed', 'abandoned').notNull().default(`'in_progress'`),
    answers: jsonb(),
    score: numeric(5, 2),
    results_data: jsonb(),
    created_at: createdAt(),
  },
  {
    primaryKey: ['result_id'],
    foreignKeys: [
      { column: 'assessment_id', references: 'assessments' },
      { column: 'employee_id', references: 'employees' },
    ],
    indexes: [
      { name: 'assessment', columns: ['assessment_id', 'created_at', 'result_id'] },
      { name: 'employee', columns: ['employee_id', 'created_at', 'result_id'] },
      { name: 'status', columns: ['assessment_id', 'status', 'created_at', 'result_id'], since: 4 },
      { name: 'completed', columns: ['assessment_id', 'completed_at', 'result_id'], since: 4 },
      { name: 'score', columns: ['assessment_id', 'score', 'result_id'], since: 4 },
      {
        name: 'open',
        columns: ['assessment_id', 'employee_id'],
        unique: true,
        where: { column: 'status', equals: 'in_progress', otherwise: 'abandoned' },
        since: 4,
      },
    ],
    rules: [
      { name: 'completed', rule: "(status = 'completed') = (completed_at IS NOT NULL)", since: 4 },
      { name: 'score', rule: 'score BETWEEN 0 AND 100', since: 4 },
    ],
    sharedPartitioning: { by: 'tenant', partitions: 4 },
  },
);

export const certifications = tenantTable(
  'certifications',
  {
    certification_id: newId(),
    employee_id: uuid(),
    certification_name: varchar(255).notNull(),
    issuing_organization: varchar(255),
    issue_date: date(),
    expiry_date: date(),
    credential_id: varchar(255),
    credential_url: text(),
    verification_status: varchar(50).oneOf('unverified', 'pending', 'verified', 'rejected'),
    created_at: createdAt(),
  },
  {
    primaryKey: ['certification_id'],
    foreignKeys: [{ column: 'employee_id', references: 'employees', onDelete: 'cascade' }],
    indexes: [
      { name: 'created', columns: ['created_at', 'certification_id'] },
      { name: 'employee', columns: ['employee_id'] },
      { name: 'expiry', columns: ['expiry_date', 'certification_id'], since: 4 },
      { name: 'name', columns: ['certification_name', 'certification_id'], since: 4 },
      {
        name: 'verification',
        columns: ['verification_status', 'created_at', 'certification_id'],
        since: 4,
      },
    ],
    rules: [{ name: 'dates', rule: 'issue_date <= expiry_date', since: 4 }],
  },
);
