import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Model } from '../isolation/tenant-world.ts';
import { type Answer, MODELS, TenantRequests } from './tenant-requests.ts';

let api: TenantRequests;
beforeAll(async () => {
  api = await TenantRequests.start();
});
afterAll(() => api?.world.end());

const QUESTIONS = [
  {
    id: 'proofs',
    kind: 'choice',
    prompt: 'How often do you write proofs?',
    options: [
      { value: 'never', score: 0 },
      { value: 'weekly', score: 10 },
    ],
    weight: 3,
  },
  { id: 'confidence', kind: 'scale', prompt: 'How sure are you?' },
  { id: 'wishes', kind: 'text', prompt: 'What would you like to learn?' },
];

const ITEM = '/assessments/{assessmentId}';
const RESULTS = `${ITEM}/results`;
const RESULT = `${RESULTS}/{resultId}`;

/** One model's assessments, as a client uses them. */
class Client {
  readonly model: Model;
  constructor(model: Model) {
    this.model = model;
  }
  create = (more: object = {}) =>
    api.call(this.model, 'POST /assessments', {
      body: { assessmentName: 'Logic', questions: QUESTIONS, ...more },
    });
  read = (assessmentId: string) => api.call(this.model, `GET ${ITEM}`, { pathParameters: { assessmentId } });
  patch = (assessmentId: string, body: object) =>
    api.call(this.model, `PATCH ${ITEM}`, { pathParameters: { assessmentId }, body });
  remove = (assessmentId: string) =>
    api.call(this.model, `DELETE ${ITEM}`, { pathParameters: { assessmentId } });
  published = async (more: object = {}): Promise<string> => {
    const { assessmentId } = (await this.create(more)).body;
    const answer = await this.patch(assessmentId, { status: 'published' });
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
    return assessmentId;
  };
  start = (assessmentId: string, employeeId: string, headers: Record<string, string> = {}) =>
    api.call(this.model, `POST ${RESULTS}`, {
      rawPath: `/assessments/${assessmentId}/results`,
      pathParameters: { assessmentId },
      body: { employeeId },
      headers,
    });
  answer = (assessmentId: string, resultId: string, body: object) =>
    api.call(this.model, `PATCH ${RESULT}`, { pathParameters: { assessmentId, resultId }, body });
  result = (assessmentId: string, resultId: string) =>
    api.call(this.model, `GET ${RESULT}`, { pathParameters: { assessmentId, resultId } });
  results = (assessmentId: string, query: Record<string, string> = {}) =>
    api.call(this.model, `GET ${RESULTS}`, { pathParameters: { assessmentId }, query });
  removeResult = (assessmentId: string, resultId: string) =>
    api.call(this.model, `DELETE ${RESULT}`, { pathParameters: { assessmentId, resultId } });
  started = async (): Promise<{ assessmentId: string; resultId: string; employeeId: string }> => {
    const assessmentId = await this.published();
    const employeeId = await api.addEmployee(this.model);
    const { resultId } = (await this.start(assessmentId, employeeId)).body;
    return { assessmentId, resultId, employeeId };
  };
}

const statusAndPointers = ({ status, body }: Answer) => [
  status,
  body.errors?.map(({ pointer }: { pointer: string }) => pointer),
];

describe.each(MODELS)('an assessment in %s', (model) => {
  const client = new Client(model);

  test('is a draft that takes any change, then published, then archived; nothing else', async () => {
    const created = await client.create({ assessmentType: 'skills' });
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({ status: 'draft', questions: QUESTIONS, scoringConfig: null });
    const { assessmentId } = created.body;
    expect((await client.patch(assessmentId, { status: 'archived' })).status).toBe(409);
    expect((await client.patch(assessmentId, { questions: QUESTIONS.slice(1) })).status).toBe(200);
    const published = await client.patch(assessmentId, { status: 'published' });
    expect(published.body).toMatchObject({
      status: 'published',
      // The default, from now on as fixed as the questions.
      scoringConfig: { method: 'weighted-average' },
    });
    expect((await client.patch(assessmentId, { status: 'published' })).status).toBe(200);
    expect((await client.patch(assessmentId, { status: 'draft' })).status).toBe(409);
    expect((await client.patch(assessmentId, { status: 'archived' })).body.status).toBe('archived');
    for (const status of ['draft', 'published']) {
      expect(statusAndPointers(await client.patch(assessmentId, { status }))).toEqual([409, ['/status']]);
    }
  });

  test('that is published keeps its questions and scoring; its texts may change', async () => {
    const assessmentId = await client.published({ scoringConfig: { method: 'sum', passScore: 50 } });
    const before = (await client.read(assessmentId)).body;
    for (const body of [
      { questions: QUESTIONS.slice(1) },
      { questions: null },
      { scoringConfig: { passScore: 10 } },
      { scoringConfig: null },
      { scoringConfig: { method: 'weighted-average' }, description: 'new' },
    ]) {
      const refused = await client.patch(assessmentId, body);
      expect(statusAndPointers(refused)).toEqual([409, [`/${Object.keys(body)[0]}`]]);
    }
    expect((await client.read(assessmentId)).body).toEqual(before);
    // The same documents again are no change of them.
    const same = { questions: before.questions, scoringConfig: before.scoringConfig, description: 'new' };
    expect((await client.patch(assessmentId, same)).body).toMatchObject({ description: 'new' });
  });

  test('without questions is not published', async () => {
    const { assessmentId } = (await client.create({ questions: [] })).body;
    expect((await client.patch(assessmentId, { status: 'published' })).status).toBe(409);
    const answer = await client.patch(assessmentId, { status: 'published', questions: QUESTIONS });
    expect(answer.body.status).toBe('published');
  });

  test('has its scoring merged, and needs a method', async () => {
    const { assessmentId } = (await client.create({ scoringConfig: { method: 'sum', passScore: 1.25 } }))
      .body;
    const merged = await client.patch(assessmentId, { scoringConfig: { passScore: 60 } });
    expect(merged.body.scoringConfig).toEqual({ method: 'sum', passScore: 60 });
    const without = await client.patch(assessmentId, { scoringConfig: { passScore: null } });
    expect(without.body.scoringConfig).toEqual({ method: 'sum' });
    const { assessmentId: plain } = (await client.create()).body;
    const refused = await client.patch(plain, { scoringConfig: { passScore: 60 } });
    expect(statusAndPointers(refused)).toEqual([400, ['/scoringConfig/method']]);
  });

  test('names skills, frameworks and employees that exist', async () => {
    const unknown = randomUUID();
    const question = { ...QUESTIONS[1], skillId: unknown };
    for (const [body, pointer] of [
      [{ questions: [QUESTIONS[0], question] }, '/questions/1/skillId'],
      [{ frameworkId: unknown }, '/frameworkId'],
      [{ createdBy: unknown }, '/createdBy'],
    ] as const) {
      expect(statusAndPointers(await client.create(body))).toEqual([400, [pointer]]);
    }
    const skill = await api.call(model, 'POST /skills', { body: { skillName: 'Logic' } });
    const { skillId } = skill.body;
    const created = await client.create({ questions: [{ ...QUESTIONS[0], skillId }] });
    expect(created.body.questions[0].skillId).toBe(skillId);
    const removing = await api.call(model, 'DELETE /skills/{skillId}', { pathParameters: { skillId } });
    expect(removing.status).toBe(409);
    expect((await client.remove(created.body.assessmentId)).status).toBe(204);
    const removed = await api.call(model, 'DELETE /skills/{skillId}', { pathParameters: { skillId } });
    expect(removed.status).toBe(204);
  });

  test('is listed by status, type, framework and author', async () => {
    const createdBy = await api.addEmployee(model);
    const { assessmentId } = (await client.create({ createdBy, assessmentType: '360' })).body;
    const ids = async (query: Record<string, string>) =>
      (await api.call(model, 'GET /assessments', { query })).body.items.map(
        (item: { assessmentId: string }) => item.assessmentId,
      );
    expect(await ids({ createdBy })).toEqual([assessmentId]);
    expect(await ids({ createdBy, status: 'draft', assessmentType: '360' })).toEqual([assessmentId]);
    expect(await ids({ createdBy, status: 'published' })).toEqual([]);
    expect(await ids({ frameworkId: randomUUID() })).toEqual([]);
  });
});

describe('questions are refused', () => {
  const options = [{ value: 'a', score: 1 }];
  test.each([
    [[{ ...QUESTIONS[0], options: undefined }], '/questions/0/options'],
    [[{ ...QUESTIONS[0], options: [] }], '/questions/0/options'],
    [[{ ...QUESTIONS[0], options: [{ value: 'a', score: 0 }] }], '/questions/0/options'],
    [[{ ...QUESTIONS[0], options: [...options, ...options] }], '/questions/0/options'],
    [[{ ...QUESTIONS[0], options: [{ value: 'a', score: -1 }] }], '/questions/0/options/0/score'],
    [[{ ...QUESTIONS[0], options: [{ value: true, score: 1 }] }], '/questions/0/options/0/value'],
    [[{ ...QUESTIONS[2], options }], '/questions/0/options'],
    [[{ ...QUESTIONS[1], weight: 0 }], '/questions/0/weight'],
    [[{ ...QUESTIONS[1], kind: 'essay' }], '/questions/0/kind'],
    [[{ ...QUESTIONS[1], id: '' }], '/questions/0/id'],
    [[QUESTIONS[1], QUESTIONS[1]], '/questions'],
    [[{ ...QUESTIONS[1], unknown: 1 }], '/questions/0/unknown'],
    [{ a: 1 }, '/questions'],
  ])('%j at %s', async (questions, pointer) => {
    const body = { assessmentName: 'Logic', questions };
    const answer = await api.call('shared', 'POST /assessments', { body });
    const pointers = answer.body.errors.map((error: { pointer: string }) => error.pointer);
    expect([answer.status, pointers]).toEqual([400, expect.arrayContaining([pointer])]);
  });
});

describe.each(MODELS)('a result in %s', (model) => {
  const client = new Client(model);

  test('is started, answered bit by bit, completed with its score, and then fixed', async () => {
    const { assessmentId, resultId, employeeId } = await client.started();
    const fresh = (await client.result(assessmentId, resultId)).body;
    expect(fresh).toMatchObject({
      assessmentId,
      employeeId,
      status: 'in_progress',
      answers: null,
      score: null,
      completedAt: null,
    });
    expect(fresh.startedAt).toBe(fresh.createdAt);
    await client.answer(assessmentId, resultId, { answers: { proofs: 'never', wishes: 'sets' } });
    const saved = await client.answer(assessmentId, resultId, {
      answers: { proofs: 'weekly', wishes: null },
    });
    expect(saved.body).toMatchObject({ status: 'in_progress', answers: { proofs: 'weekly' }, score: null });
    const completed = await client.answer(assessmentId, resultId, {
      status: 'completed',
      answers: { confidence: 3 },
    });
    expect(completed.status).toBe(200);
    expect(completed.body).toMatchObject({
      status: 'completed',
      answers: { proofs: 'weekly', confidence: 3 },
      score: 87.5,
      resultsData: { passed: null, questions: 3, answered: 2, skills: [] },
    });
    expect(Date.parse(completed.body.completedAt)).toBeGreaterThanOrEqual(Date.parse(fresh.startedAt));
    for (const body of [
      { answers: { confidence: 5 } },
      { status: 'completed' },
      { status: 'in_progress' },
      { status: 'abandoned' },
    ]) {
      expect((await client.answer(assessmentId, resultId, body)).status).toBe(409);
    }
    expect((await client.removeResult(assessmentId, resultId)).status).toBe(409);
    expect((await client.result(assessmentId, resultId)).body).toEqual(completed.body);
    // What it refers to stays, too.
    expect((await client.remove(assessmentId)).status).toBe(409);
    const remove = { pathParameters: { employeeId } };
    expect((await api.call(model, 'DELETE /employees/{employeeId}', remove)).status).toBe(409);
  });

  test('takes answers to the published questions only', async () => {
    const { assessmentId, resultId } = await client.started();
    const answer = await client.answer(assessmentId, resultId, {
      answers: { proofs: 'daily', confidence: '3', wishes: 7, 'a/b': 1, constructor: 1 },
    });
    expect(answer.status).toBe(400);
    expect(answer.body.errors).toEqual([
      { pointer: '/answers/proofs', detail: 'must be one of "never", "weekly"' },
      { pointer: '/answers/confidence', detail: 'must be one of 1, 2, 3, 4, 5' },
      { pointer: '/answers/wishes', detail: 'must be a string' },
      { pointer: '/answers/a~1b', detail: 'is not a question of the assessment' },
      { pointer: '/answers/constructor', detail: 'is not a question of the assessment' },
    ]);
    const refused = await client.answer(assessmentId, resultId, { answers: { wishes: { a: 1 } } });
    expect(statusAndPointers(refused)).toEqual([400, ['/answers/wishes']]);
    expect((await client.result(assessmentId, resultId)).body.answers).toBeNull();
  });

  test('is started of a published assessment only, and goes on when that is archived', async () => {
    const employeeId = await api.addEmployee(model);
    const { assessmentId: draft } = (await client.create()).body;
    expect((await client.start(draft, employeeId)).status).toBe(409);
    expect((await client.start(randomUUID(), employeeId)).status).toBe(404);
    const assessmentId = await client.published();
    expect(statusAndPointers(await client.start(assessmentId, randomUUID()))).toEqual([400, ['/employeeId']]);
    const { resultId } = (await client.start(assessmentId, employeeId)).body;
    await client.patch(assessmentId, { status: 'archived' });
    expect((await client.start(assessmentId, await api.addEmployee(model))).status).toBe(409);
    const completed = await client.answer(assessmentId, resultId, { status: 'completed' });
    expect(completed.body).toMatchObject({ status: 'completed', score: 0, answers: null });
  });

  test('is open once for an employee: the next one starts when it is completed or abandoned', async () => {
    const { assessmentId, resultId, employeeId } = await client.started();
    expect((await client.start(assessmentId, employeeId)).status).toBe(409);
    expect((await client.answer(assessmentId, resultId, { status: 'abandoned' })).body).toMatchObject({
      status: 'abandoned',
      score: null,
      completedAt: null,
    });
    const second = await client.start(assessmentId, employeeId);
    expect(second.status).toBe(201);
    await client.answer(assessmentId, second.body.resultId, { status: 'completed' });
    const third = await client.start(assessmentId, employeeId);
    expect(third.status).toBe(201);
    // An abandoned and an open one may be deleted.
    expect((await client.removeResult(assessmentId, resultId)).status).toBe(204);
    expect((await client.removeResult(assessmentId, third.body.resultId)).status).toBe(204);
    expect((await client.results(assessmentId, { employeeId })).body.items).toHaveLength(1);
  });

  test('of two starts at once one is 201 and one 409', async () => {
    const assessmentId = await client.published();
    for (let round = 0; round < 5; round++) {
      const employeeId = await api.addEmployee(model);
      const answers = await Promise.all([
        client.start(assessmentId, employeeId),
        client.start(assessmentId, employeeId),
      ]);
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
      expect(answers.find(({ status }) => status === 409)?.body.detail).toBe(
        'The employee has an open result of this assessment.',
      );
      expect((await client.results(assessmentId, { employeeId })).body.items).toHaveLength(1);
    }
  });

  test('is completed once, however many try at the same moment', async () => {
    const { assessmentId, resultId } = await client.started();
    const answers = await Promise.all(
      [1, 3, 5].map((confidence) =>
        client.answer(assessmentId, resultId, { status: 'completed', answers: { confidence } }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409]);
    const won = answers.find(({ status }) => status === 200)?.body;
    expect((await client.result(assessmentId, resultId)).body).toEqual(won);
  });

  test('that is started with an Idempotency-Key is started once', async () => {
    const assessmentId = await client.published();
    const employeeId = await api.addEmployee(model);
    const headers = { 'idempotency-key': `start ${assessmentId}` };
    const [first, again] = [
      await client.start(assessmentId, employeeId, headers),
      await client.start(assessmentId, employeeId, headers),
    ];
    expect([first.status, again.status, again.headers['idempotency-replayed']]).toEqual([201, 201, 'true']);
    expect(again.text).toBe(first.text);
    expect(first.headers.location).toBe(`/assessments/${assessmentId}/results/${first.body.resultId}`);
  });

  test('belongs to its assessment, and is listed by employee and status', async () => {
    const { assessmentId, resultId, employeeId } = await client.started();
    const other = await client.published();
    expect((await client.result(other, resultId)).status).toBe(404);
    expect((await client.results(randomUUID())).status).toBe(404);
    const ids = async (query: Record<string, string>) =>
      (await client.results(assessmentId, query)).body.items.map(
        (item: { resultId: string }) => item.resultId,
      );
    expect(await ids({ employeeId, status: 'in_progress' })).toEqual([resultId]);
    expect(await ids({ status: 'completed' })).toEqual([]);
  });
});

test('a question frozen by publication is never seen half changed: publishing and editing at once', async () => {
  const client = new Client('shared');
  for (let round = 0; round < 5; round++) {
    const { assessmentId } = (await client.create()).body;
    const [published, edited] = await Promise.all([
      client.patch(assessmentId, { status: 'published' }),
      client.patch(assessmentId, { questions: QUESTIONS.slice(1) }),
    ]);
    expect(published.status).toBe(200);
    // Before the publication it takes effect, after it it is refused.
    const { questions } = (await client.read(assessmentId)).body;
    expect(questions).toHaveLength(edited.status === 200 ? 2 : 3);
    expect([200, 409]).toContain(edited.status);
  }
});
