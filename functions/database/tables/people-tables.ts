import { bytea, createdAt, date, jsonb, newId, text, updatedAt, uuid, varchar } from './column.ts';
import { tenantTable } from './tenant-table.ts';

export const employees = tenantTable(
  'employees',
  {
    employee_id: newId(),
    email: varchar(255).notNull(),
    first_name: varchar(100).notNull(),
    last_name: varchar(100).notNull(),
    job_title: varchar(255),
    department: varchar(255),
    manager_id: uuid(),
    hire_date: date(),
    status: varchar(50).oneOf('active', 'inactive', 'on_leave', 'terminated').notNull().default(`'active'`),
    profile_data: jsonb(),
    /** Encrypted by the application: the database never sees the plain values. */
    ssn_encrypted: bytea(),
    salary_encrypted: bytea(),
    created_at: createdAt(),
    updated_at: updatedAt(),
  },
  {
    primaryKey: ['employee_id'],
    unique: [['email']],
    foreignKeys: [{ column: 'manager_id', references: 'employees', onDelete: 'set null' }],
    // A filter's index goes on with the page key, so that a filtered page is read in order, without a sort.
    indexes: [
      { name: 'created', columns: ['created_at', 'employee_id'] },
      { name: 'status', columns: ['status', 'created_at', 'employee_id'] },
      { name: 'department', columns: ['department', 'created_at', 'employee_id'] },
      { name: 'manager', columns: ['manager_id', 'created_at', 'employee_id'] },
      // A new address is looked for in whatever case older rows have it.
      { name: 'caseless_email', columns: ['email'], lower: true, since: 3 },
    ],
  },
);

export const teams = tenantTable(
  'teams',
  {
    team_id: newId(),
    team_name: varchar(255).notNull(),
    description: text(),
    parent_team_id: uuid(),
    manager_id: uuid(),
    created_at: createdAt(),
    updated_at: updatedAt(),
  },
  {
    primaryKey: ['team_id'],
    foreignKeys: [
      { column: 'parent_team_id', references: 'teams' },
      { column: 'manager_id', references: 'employees', onDelete: 'set null' },
    ],
    indexes: [
      { name: 'created', columns: ['created_at', 'team_id'] },
      { name: 'parent', columns: ['parent_team_id'] },
      { name: 'manager', columns: ['manager_id'] },
    ],
  },
);

export const teamMembers = tenantTable(
  'team_members',
  {
    team_id: uuid().notNull(),
    employee_id: uuid().notNull(),
    role: varchar(100),
    joined_at: createdAt(),
  },
  {
    primaryKey: ['team_id', 'employee_id'],
    foreignKeys: [
      { column: 'team_id', references: 'teams', onDelete: 'cascade' },
      { column: 'employee_id', references: 'employees', onDelete: 'cascade' },
    ],
    indexes: [{ name: 'employee', columns: ['employee_id'] }],
  },
);
