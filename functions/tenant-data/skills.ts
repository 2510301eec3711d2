import { resource } from './resource.ts';
import { ResourceStore } from './resource-store.ts';

export const skills = new ResourceStore(
  resource<'skills'>({
    table: 'skills',
    type: 'skill',
    columns: [
      'skill_id',
      'skill_name',
      'skill_category',
      'description',
      'framework_id',
      'proficiency_levels',
      'created_at',
      'updated_at',
    ],
    key: ['skill_id'],
    order: ['created_at', 'skill_id'],
    searched: ['skill_name', 'description'],
    documents: ['proficiency_levels'],
    hasUpdatedAt: true,
  }),
);

export const employeeSkills = new ResourceStore(
  resource<'employee_skills'>({
    table: 'employee_skills',
    type: 'employee_skill',
    columns: [
      'employee_id',
      'skill_id',
      'proficiency_level',
      'years_of_experience',
      'last_assessed_at',
      'self_assessed',
      'verified',
      'created_at',
      'updated_at',
    ],
    key: ['employee_id', 'skill_id'],
    order: ['created_at', 'skill_id'],
    searched: [],
    documents: [],
    hasUpdatedAt: true,
    parentTable: 'employees',
  }),
);
