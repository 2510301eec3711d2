import { InvalidValues } from '../resources/errors.ts';
import { resource } from './resource.ts';
import type { ResourceRules } from './resource-rules.ts';
import { ResourceStore } from './resource-store.ts';

/** A certification does not expire before its issue. The table holds this rule too; this one names the field. */
const certificationRules: ResourceRules = {
  concerns: (patch) => Boolean(patch.issue_date || patch.expiry_date),
  async check(_transaction, { values, current }) {
    const { issue_date: issued, expiry_date: expires } = { ...current, ...values } as Record<
      string,
      string | null | undefined
    >;
    if (issued && expires && expires < issued) {
      throw new InvalidValues([{ path: ['expiryDate'], message: 'must not be before the issue date' }]);
    }
    return undefined;
  },
};

export const certifications = new ResourceStore(
  resource<'certifications'>({
    table: 'certifications',
    type: 'certification',
    columns: [
      'certification_id',
      'employee_id',
      'certification_name',
      'issuing_organization',
      'issue_date',
      'expiry_date',
      'credential_id',
      'credential_url',
      'verification_status',
      'created_at',
    ],
    key: ['certification_id'],
    order: ['created_at', 'certification_id'],
    sorts: [
      { column: 'expiry_date', type: 'date', nullable: true },
      { column: 'certification_name', type: 'text' },
    ],
    searched: ['certification_name', 'issuing_organization'],
    documents: [],
    hasUpdatedAt: false,
  }),
  certificationRules,
);
