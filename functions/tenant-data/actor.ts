import type { MemberRole } from '../placement/tenant-directory.ts';

/** Who acts and from where, as the audit log names them. */
export interface Actor {
  readonly kind: 'user' | 'operator';
  /** `tenant_users.user_id`; operators have none. */
  readonly userId: string | undefined;
  /** An e-mail address, or an operator's subject. */
  readonly name: string;
  readonly role: MemberRole;
  readonly ipAddress: string | undefined;
  readonly userAgent: string | undefined;
}
