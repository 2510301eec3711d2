/** Routes of the audit context. */
export const routes = {
  'GET /audit-log': 'auditLog.list',
  'GET /audit-log/verification': 'auditLog.verify',
} as const;
