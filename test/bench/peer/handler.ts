/**
 * GET /employees/{employeeId} as it is usually built for Lambda, with the tenant in a setting for row-level security.
 * Only the benchmarks run it: it stands for the conventional way.
 */
import express from 'express';
import knex from 'knex';
import serverless from 'serverless-http';

const database = knex({
  client: 'pg',
  connection: {
    host: process.env.DATABASE_HOST ?? 'localhost',
    database: process.env.DATABASE_NAME ?? 'strata',
    user: process.env.DATABASE_USER ?? 'strata_starter',
    password: process.env.DATABASE_PASSWORD ?? '',
    ssl: true,
  },
});
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const app = express();
app.disable('x-powered-by');
app.use(express.json());
app.get('/employees/:employeeId', async (request, response, next) => {
  const tenantId = request.requestContext.authorizer.jwt.claims.tenant_id;
  const { employeeId } = request.params;
  if (!tenantId) return response.status(403).json({ title: 'Forbidden', status: 403 });
  if (!employeeId || !UUID.test(employeeId)) {
    return response.status(404).json({ title: 'Not Found', status: 404 });
  }
  try {
    const employee = await database.transaction(async (transaction) => {
      await transaction.raw('SELECT set_config(?, ?, true)', ['app.current_tenant', tenantId]);
      return transaction('employees')
        .first(
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
        )
        .where({ employee_id: employeeId });
    });
    if (!employee) return response.status(404).json({ title: 'Not Found', status: 404 });
    return response.status(200).json(employee);
  } catch (error) {
    return next(error);
  }
});

export const handler = serverless(app, {
  request: (request: { requestContext?: unknown }, event: { requestContext?: unknown }) => {
    request.requestContext = event.requestContext;
  },
});
