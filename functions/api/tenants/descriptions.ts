import { describeOperatorContext } from '../../http/openapi/describe-context.ts';
import { moveRequest } from '../../moves/move-target.ts';
import { onboardingInput } from '../../onboarding/onboarding-input.ts';
import { restoreRequest } from '../../restores/restore-input.ts';
import { rolloutRequest } from '../../rollouts/rollout-input.ts';
import * as answers from './answers.ts';
import { operations } from './handler.ts';
import { routes } from './routes.ts';

const NOT_STARTED = 'The workflow cannot be started at this moment.';

export const tenants = describeOperatorContext({
  tags: {
    Tenants: 'Customer organisations: onboarding, terms, status.',
    Users: 'Who may sign in to a tenant.',
    Moves: 'Changes of a tenant’s place while it is used.',
    Backups: 'Backups of one tenant, restores and exports.',
    Offboarding: 'Tenants that leave: grace period, erasure, certificate.',
    Encryption: 'Keys of encrypted fields.',
    Credentials: 'Passwords of database roles.',
    Promotion: 'Figures of a tenant, what the daily run decided about its tier, and offers of another tier.',
    Fleet: 'Cells, and schema rollouts to all tenants.',
    Alerts: 'Conditions of tenants and cells that an operator should look at.',
    Costs: 'What tenants use and cost, and what could be changed.',
  },
  routes,
  operations,
  descriptions: {
    'fleet.cells': {
      tag: 'Fleet',
      summary: 'List cells',
      description: 'All cells of all regions, on one page.',
      answers: { 200: answers.cellPage },
    },
    'cells.read': {
      tag: 'Fleet',
      summary: 'Read a cell',
      description:
        '`utilisation` is what the run of every five minutes has measured; null before the first one. `databaseLoad` is the number of sessions that were busy on average.',
      answers: { 200: answers.cell },
    },
    'cells.rebalancingPlan': {
      tag: 'Fleet',
      summary: 'Plan the rebalancing of a cell',
      description:
        'Which tenants should leave a cell that is over its limits, where to, and why. Nothing moves: `request` of each entry is the body of a dry run of `POST /tenants/{tenantId}/moves`. A cell with `newCell` has to be added to the configuration first.',
      answers: { 200: answers.rebalancingPlan },
    },
    'alerts.list': {
      tag: 'Alerts',
      summary: 'List alerts',
      description: 'Alerts of all regions, newest first. Resolved ones are kept for 180 days.',
      answers: { 200: answers.alertPage },
    },
    'alerts.read': { tag: 'Alerts', summary: 'Read an alert', answers: { 200: answers.alert } },
    'alerts.acknowledge': {
      tag: 'Alerts',
      summary: 'Acknowledge an alert',
      description:
        'Records that an operator looks after it. It ends by itself with its condition. Again: the same answer.',
      answers: { 200: answers.alert },
      refusals: { 409: 'The alert is resolved.' },
      idempotencyKey: false,
    },
    'fleet.rollouts': {
      tag: 'Fleet',
      summary: 'List schema rollouts',
      description: 'Rollouts of all regions, oldest first.',
      answers: { 200: answers.rolloutPage },
    },
    'fleet.startRollout': {
      tag: 'Fleet',
      summary: 'Start a schema rollout',
      description:
        'Brings the tables of all targets that lag behind to the deployed version. Poll its `Location`.',
      body: rolloutRequest,
      answers: { 202: answers.rollout },
      refusals: { 409: 'A rollout of the region is running (`rollout-running`).', 503: NOT_STARTED },
    },
    'fleet.rollout': {
      tag: 'Fleet',
      summary: 'Read a schema rollout',
      description: 'Also lists up to 100 `failed` and 100 `deferred` targets.',
      answers: { 200: answers.rollout },
    },
    'tenants.list': {
      tag: 'Tenants',
      summary: 'List tenants',
      description: 'Tenants of all regions, by creation. With `dataResidency` only that region is asked.',
      answers: { 200: answers.tenantPage },
    },
    'tenants.create': {
      tag: 'Tenants',
      summary: 'Onboard a tenant',
      description:
        'Registers the tenant and starts its onboarding in the region of `dataResidency`. `databaseSize` is for the tier `enterprise`, and `medium` when absent. Poll its `Location` until it is `active` or `failed`. The same input resumes an unfinished onboarding.',
      body: onboardingInput,
      answers: { 202: answers.tenant },
      refusals: {
        409: 'The slug is taken, or the tier does not satisfy the requirements (`rule` in `errors[]`).',
        503: 'No cell has room for a tenant, or the workflow cannot be started.',
      },
    },
    'tenants.read': { tag: 'Tenants', summary: 'Read a tenant', answers: { 200: answers.tenant } },
    'tenants.update': {
      tag: 'Tenants',
      summary: 'Change a tenant',
      description:
        '`force` stores compliance requirements that the tenant’s place does not satisfy, and offers the tenant a tier that does.',
      answers: { 200: answers.tenant },
      refusals: {
        409: '`maxUsers` is below the number of active users, or the place does not satisfy the requirements.',
      },
    },
    'users.list': { tag: 'Users', summary: 'List users', answers: { 200: answers.userPage } },
    'users.create': {
      tag: 'Users',
      summary: 'Add a user',
      answers: { 201: answers.user },
      refusals: { 409: 'The address is taken, or the tenant has `maxUsers` active users.' },
    },
    'users.read': { tag: 'Users', summary: 'Read a user', answers: { 200: answers.user } },
    'users.update': {
      tag: 'Users',
      summary: 'Change a user',
      answers: { 200: answers.user },
      refusals: {
        409: 'The last active administrator stays one, or the tenant has `maxUsers` active users.',
      },
    },
    'users.remove': {
      tag: 'Users',
      summary: 'Remove a user',
      answers: { 204: null },
      refusals: { 409: 'The last active administrator cannot be removed.' },
    },
    'moves.list': {
      tag: 'Moves',
      summary: 'List moves',
      description: 'Oldest first.',
      answers: { 200: answers.movePage },
    },
    'moves.create': {
      tag: 'Moves',
      summary: 'Start a move',
      description:
        'Takes exactly one of `targetTier`, `targetCell` and `targetResidency`, or a `targetSize`, which may also be given with the tier `enterprise` or with a residency. Poll its `Location`. `force` overrides the target tier’s limits. With `dryRun` nothing is started: 200 with the plan, sizes, an estimate, and what forbids the move.',
      body: moveRequest,
      answers: { 200: answers.dryRun, 202: answers.move },
      refusals: { 409: 'The move is not allowed: `errors[]` has `rule` and `detail`.', 503: NOT_STARTED },
    },
    'moves.read': { tag: 'Moves', summary: 'Read a move', answers: { 200: answers.move } },
    'moves.abort': {
      tag: 'Moves',
      summary: 'Abort a move',
      description: 'Rolls the current hop back; earlier hops stay. Again: the same answer.',
      answers: { 202: answers.move },
      refusals: { 409: 'The tenant has arrived, or the move has ended.' },
      idempotencyKey: false,
    },
    'offboarding.start': {
      tag: 'Offboarding',
      summary: 'Offboard a tenant',
      description:
        'The tenant refuses requests from now on. After a final export and a grace period it is erased everywhere. Poll its `Location`.',
      answers: { 202: answers.offboarding },
      refusals: {
        409: 'The tenant is being offboarded already, it has a clone, or a move, restore, rollout, requested key rotation, backup or export of it is running.',
        503: NOT_STARTED,
      },
    },
    'offboarding.read': {
      tag: 'Offboarding',
      summary: 'Read the offboarding of a tenant',
      description: 'The latest one.',
      answers: { 200: answers.offboarding },
    },
    'offboarding.cancel': {
      tag: 'Offboarding',
      summary: 'Cancel an offboarding',
      description: 'The tenant is again what it was, with nothing lost.',
      answers: { 200: answers.offboarding },
      refusals: { 409: 'No offboarding is running, or the erasure has begun.' },
      idempotencyKey: false,
    },
    'offboarding.certificate': {
      tag: 'Offboarding',
      summary: 'Read the certificate of erasure',
      description:
        'What was erased, and what is kept until when and why. `signature.value` signs the certificate as canonical JSON (RFC 8785).',
      answers: { 200: answers.erasureCertificate },
      refusals: { 404: 'There is no such tenant, or it is not erased.' },
    },
    'backups.list': {
      tag: 'Backups',
      summary: 'List backups',
      description:
        'Backups that are kept, oldest first, with the tier’s `policy`, the `window` of its continuous backup, and the latest drill.',
      answers: { 200: answers.backupPage },
    },
    'backups.create': {
      tag: 'Backups',
      summary: 'Start a backup',
      description: 'Poll its `Location`.',
      answers: { 202: answers.backup },
      refusals: { 409: 'A backup of the tenant is running, or it has no data here.', 503: NOT_STARTED },
    },
    'backups.read': { tag: 'Backups', summary: 'Read a backup', answers: { 200: answers.backup } },
    'restores.list': {
      tag: 'Backups',
      summary: 'List restores',
      description: 'Oldest first.',
      answers: { 200: answers.restorePage },
    },
    'restores.create': {
      tag: 'Backups',
      summary: 'Start a restore',
      description:
        'Takes exactly one of `backupId` and `at`. A `clone` also takes `slug` and `adminEmail`. Poll its `Location`, which for a clone is the new tenant’s.',
      body: restoreRequest,
      answers: { 202: answers.restore },
      refusals: {
        400: 'The input is not valid, or `at` is outside of the window (`time-outside-window`).',
        409: 'The tenant is moved or restored, or a schema rollout runs.',
        503: NOT_STARTED,
      },
    },
    'restores.read': { tag: 'Backups', summary: 'Read a restore', answers: { 200: answers.restore } },
    'restores.abort': {
      tag: 'Backups',
      summary: 'Abort a restore',
      answers: { 202: answers.restore },
      refusals: { 409: 'The tenant has been swapped, or the restore has ended.' },
      idempotencyKey: false,
    },
    'restores.undo': {
      tag: 'Backups',
      summary: 'Undo a restore',
      description: 'Starts another restore, which brings back what this one has replaced.',
      answers: { 202: answers.restore },
      refusals: {
        409: 'What was replaced is not kept any more, or the tenant was moved or restored since.',
        503: NOT_STARTED,
      },
    },
    'exports.list': {
      tag: 'Backups',
      summary: 'List exports',
      description: 'Exports that are kept, oldest first.',
      answers: { 200: answers.exportPage },
    },
    'exports.create': {
      tag: 'Backups',
      summary: 'Start an export',
      description: 'Of the backup `backupId`, or of a new one. Poll its `Location`.',
      answers: { 202: answers.tenantExport },
      refusals: { 409: 'An export of the tenant is running, or it has no data here.', 503: NOT_STARTED },
    },
    'exports.read': {
      tag: 'Backups',
      summary: 'Read an export',
      description:
        'Its `url` needs no token and is signed for 15 minutes; null until the export has succeeded.',
      answers: { 200: answers.linkedExport },
    },
    'residency.read': {
      tag: 'Tenants',
      summary: 'Report where a tenant’s data is',
      description:
        'Where every byte of the tenant is, which rule demands it, what violates a rule, and which changes would. From the registries of all regions and the configuration.',
      answers: { 200: answers.residency },
    },
    'rotations.list': {
      tag: 'Encryption',
      summary: 'List key rotations',
      description: 'Rotations of the tenant in all regions, oldest first.',
      answers: { 200: answers.rotationPage },
    },
    'rotations.create': {
      tag: 'Encryption',
      summary: 'Start a key rotation',
      description:
        'Encrypts all encrypted fields of the tenant again, under fresh data keys. The work begins within a minute. Poll its `Location`.',
      answers: { 202: answers.rotation },
      refusals: {
        409: 'A requested rotation of the tenant is running (`rotation-running`), or it has no data here.',
      },
    },
    'rotations.read': {
      tag: 'Encryption',
      summary: 'Read a key rotation',
      answers: { 200: answers.rotation },
    },
    'credentials.list': {
      tag: 'Credentials',
      summary: 'List credential rotations',
      description: 'Rotations of database passwords in all regions, oldest first.',
      answers: { 200: answers.credentialRotationPage },
    },
    'credentials.read': {
      tag: 'Credentials',
      summary: 'Read a credential rotation',
      answers: { 200: answers.credentialRotation },
    },
    'credentials.rotateTenant': {
      tag: 'Credentials',
      summary: 'Rotate the credentials of a tenant',
      description:
        'Replaces the password of its login role, or, with `role` `owner`, that of the owner of its dedicated database. No request fails. Poll its `Location`. With `now`, for a leaked password, the old one and its sessions end within a minute or two, and requests that run at that moment may answer 503.',
      answers: { 202: answers.credentialRotation },
      refusals: {
        409: 'They are being replaced already (`rotation-running`), the tenant is being moved or restored, is not active, or uses the credentials of its cell.',
      },
    },
    'credentials.rotateCell': {
      tag: 'Credentials',
      summary: 'Rotate the credentials of a cell',
      description:
        'Replaces the password of the role of all its Starter tenants, or, with `role` `owner`, that of the owner of its schemas. `now` as for a tenant.',
      answers: { 202: answers.credentialRotation },
      refusals: {
        409: 'They are being replaced already (`rotation-running`), or a move or restore in the cell uses them.',
      },
    },
    'credentials.rotateRegistry': {
      tag: 'Credentials',
      summary: 'Rotate the credentials of a registry',
      description: 'Replaces the passwords of the roles of the region’s registry.',
      answers: { 202: answers.credentialRotation },
      refusals: { 409: 'They are being replaced already (`rotation-running`).' },
    },
    'usage.list': {
      tag: 'Costs',
      summary: 'List the figures of a tenant',
      description:
        'One item a day, newest first. Without `from` and `to`, the days that the daily run has sampled. With both, which are included, all days that have any figure: what a day does not have is null. At most 400 days.',
      answers: { 200: answers.usagePage },
    },
    'costs.tenant': {
      tag: 'Costs',
      summary: 'Read what a tenant costs',
      description:
        'The tenant’s shares of its region’s bill, by list prices. The shares of all tenants are the bill exactly. It is charged for the days on which it existed (`days`), `monthly` is what they make of a month. `from` and `to` are included; without them, the last 30 days. At most 400 days.',
      answers: { 200: answers.tenantCosts },
      refusals: { 503: 'The region has no price table yet.' },
    },
    'costs.advice': {
      tag: 'Costs',
      summary: 'Read advice about a tenant',
      description:
        'What could be changed: tier, capacity, a reservation, storage. Each has a reason and its figures. Nothing of it is done.',
      answers: { 200: answers.tenantAdvice },
      refusals: { 503: 'The region has no price table yet.' },
    },
    'costs.fleet': {
      tag: 'Costs',
      summary: 'Read the fleet’s use and cost',
      description:
        'Tenants, requests, storage, cost and margin by tier and cell, of all regions. `from` and `to` are included; without them, the last 30 days.',
      answers: { 200: answers.fleet },
      refusals: { 503: 'A region does not answer, or has no price table yet.' },
    },
    'promotion.decisions': {
      tag: 'Promotion',
      summary: 'List decisions about the tier',
      description: 'Newest first.',
      answers: { 200: answers.decisionPage },
    },
    'promotion.offers': {
      tag: 'Promotion',
      summary: 'List offers of another tier',
      description: 'Newest first.',
      answers: { 200: answers.offerPage },
    },
    'promotion.accept': {
      tag: 'Promotion',
      summary: 'Accept an offer',
      description: 'Starts the move to the tier; its `Location` is the move’s. Again: the same move.',
      answers: { 202: answers.offer },
      refusals: {
        409: 'The offer was declined or withdrawn, or rules forbid the move (in `errors[]`).',
        503: NOT_STARTED,
      },
      idempotencyKey: false,
    },
    'promotion.decline': {
      tag: 'Promotion',
      summary: 'Decline an offer',
      answers: { 200: answers.offer },
      refusals: { 409: 'The offer was accepted or withdrawn.' },
      idempotencyKey: false,
    },
  },
});
