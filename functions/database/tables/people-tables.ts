import { bytea, createdAt, date, jsonb, newId, text, updatedAt, uuid, varchar } from './column.ts';
import { tenantTable } from './tenant-table.ts';

export const employees = tenantTable(
  'employees',
  {
    employee_id: newId(),
    email: varchar(255).notNull().personal('email'),
    first_name: varchar(100).notNull().personal('name'),
    last_name: varchar(100).notNull().personal('name'),
    job_title: varchar(255),
    department: varchar(255),
    manager_id: uuid(),
    hire_date: date(),
    status: varchar(50).oneOf('active', 'inactive', 'on_leave', 'terminated').notNull().default(`'active'`),
    profile_data: jsonb(),
    /** Encrypted by the application: the database never has the plain values. */
    ssn_encrypted: bytea(),
    salary_encrypted: bytea(),
    created_at: createdAt(),
    updated_at: updatedAt(),
  },
  {
    primaryKey: ['employee_id'],
    unique: [['email']],
    foreignKeys: [{ column: 'manager_id', references: 'employees', onDelete: 'set null' }],
    // A filter's index continues with the page key, so that a filtered page is read in order, without a sort.
    indexes: [
      { name: 'created', columns: ['created_at', 'employee_id'] },
      { name: 'status', columns: ['status', 'created_at', 'employee_id'] },
      { name: 'department', columns: ['department', 'created_at', 'employee_id'] },
      { name: 'manager', columns: ['manager_id', 'created_at', 'employee_id'] },
      // The check for an existing address ignores case, because older rows may have any case.
      { name: 'caseless_email', columns: ['email'], lower: true, since: 3 },
      // Sorted lists: a column and the id, which breaks ties. The unique key serves the order by address.
      { name: 'last_name', columns: ['last_name', 'employee_id'], since: 4 },
      { name: 'hire_date', columns: ['hire_date', 'employee_id'], since: 4 },
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
      { name: 'team_name', columns: ['team_name', 'team_id'], since: 4 },
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
    indexes: [
      { name: 'employee', columns: ['employee_id'] },
      { name: 'joined', columns: ['team_id', 'joined_at', 'employee_id'], since: 4 },
    ],
  },
);
