import {
  boolean,
  createdAt,
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

export const skillsFrameworks = tenantTable(
  'skills_frameworks',
  {
    framework_id: newId(),
    framework_name: varchar(255).notNull(),
    framework_type: varchar(100).oneOf('SFIA', 'O*NET', 'custom'),
    version: varchar(50),
    description: text(),
    framework_data: jsonb(),
    is_active: boolean().notNull().default('true'),
    created_at: createdAt(),
    updated_at: updatedAt(),
  },
  {
    primaryKey: ['framework_id'],
    indexes: [
      { name: 'created', columns: ['created_at', 'framework_id'] },
      { name: 'framework_name', columns: ['framework_name', 'framework_id'], since: 4 },
      { name: 'type', columns: ['framework_type', 'created_at', 'framework_id'], since: 4 },
      { name: 'active', columns: ['is_active', 'created_at', 'framework_id'], since: 4 },
      // A framework has one row for each version, and one without a version.
      {
        name: 'version',
        columns: ['framework_name', 'version'],
        unique: true,
        where: { column: 'version', is: 'NOT NULL' },
        since: 4,
      },
      {
        name: 'unversioned',
        columns: ['framework_name'],
        unique: true,
        where: { column: 'version', is: 'NULL' },
        since: 4,
      },
    ],
  },
);

export const skills = tenantTable(
  'skills',
  {
    skill_id: newId(),
    skill_name: varchar(255).notNull(),
    skill_category: varchar(100),
    description: text(),
    framework_id: uuid(),
    proficiency_levels: jsonb(),
    created_at: createdAt(),
    updated_at: updatedAt(),
  },
  {
    primaryKey: ['skill_id'],
    foreignKeys: [{ column: 'framework_id', references: 'skills_frameworks' }],
    indexes: [
      { name: 'created', columns: ['created_at', 'skill_id'] },
      { name: 'category', columns: ['skill_category', 'created_at', 'skill_id'] },
      { name: 'framework', columns: ['framework_id', 'created_at', 'skill_id'] },
      { name: 'skill_name', columns: ['skill_name', 'skill_id'], since: 4 },
    ],
  },
);

export const employeeSkills = tenantTable(
  'employee_skills',
  {
    employee_id: uuid().notNull(),
    skill_id: uuid().notNull(),
    proficiency_level: varchar(50),
    years_of_experience: numeric(4, 2),
    last_assessed_at: timestamptz(),
    self_assessed: boolean().notNull().default('false'),
    verified: boolean().notNull().default('false'),
    created_at: createdAt(),
    updated_at: updatedAt(),
  },
  {
    primaryKey: ['employee_id', 'skill_id'],
    foreignKeys: [
      { column: 'employee_id', references: 'employees', onDelete: 'cascade' },
      { column: 'skill_id', references: 'skills' },
    ],
    indexes: [{ name: 'skill', columns: ['skill_id'] }],
  },
);

export const roles = tenantTable(
  'roles',
  {
    role_id: newId(),
    role_name: varchar(255).notNull(),
    role_level: varchar(100),
    description: text(),
    department: varchar(255),
    required_skills: jsonb(),
    created_at: createdAt(),
    updated_at: updatedAt(),
  },
  {
    primaryKey: ['role_id'],
    indexes: [
      { name: 'created', columns: ['created_at', 'role_id'] },
      { name: 'role_name', columns: ['role_name', 'role_id'], since: 4 },
      { name: 'department', columns: ['department', 'created_at', 'role_id'], since: 4 },
      { name: 'level', columns: ['role_level', 'created_at', 'role_id'], since: 4 },
    ],
  },
);
