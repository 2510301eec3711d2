import { resource } from './resource.ts';
import { ResourceStore } from './resource-store.ts';

export const employees = new ResourceStore(
  resource<'employees'>({
    table: 'employees',
    type: 'employee',
    columns: [
      'employee_id',
      'email',
      'first_name',
      'last_name',
      'job_title',
      'department',
      'manager_id',
      'hire_date',
      'status',
      'profile_data',
      'created_at',
      'updated_at',
    ],
    key: ['employee_id'],
    order: ['created_at', 'employee_id'],
    sorts: [
      { column: 'last_name', type: 'text' },
      { column: 'email', type: 'text' },
      { column: 'hire_date', type: 'date', nullable: true },
    ],
    searched: ['first_name', 'last_name', 'email', 'job_title'],
    documents: ['profile_data'],
    caseless: ['email'],
    hasUpdatedAt: true,
    hierarchy: 'manager_id',
    sealed: [
      { field: 'ssn', column: 'ssn_encrypted', type: 'text' },
      { field: 'salary', column: 'salary_encrypted', type: 'decimal' },
    ],
  }),
);
