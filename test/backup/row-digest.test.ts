import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NotCopyData, RowDigest, sumOfHashes } from '../../functions/backups/row-digest.ts';

type Row = readonly (Buffer | null)[];

const HEADER = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
const TRAILER = Buffer.from([0xff, 0xff]);

const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

function copyData(rows: readonly Row[]): Buffer {
  const encoded = rows.map((row) =>
    Buffer.concat([
      int32(row.length).subarray(2),
      ...row.flatMap((field) => (field ? [int32(field.length), field] : [int32(-1)])),
    ]),
  );
  return Buffer.concat([HEADER, ...encoded, TRAILER]);
}

/** @param cuts offsets at which the stream is divided into chunks. */
async function digestOf(bytes: Buffer, fields: number, cuts: readonly number[] = []) {
  const bounds = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length];
  const chunks = bounds.slice(1).map((end, index) => bytes.subarray(bounds[index], end));
  const digest = new RowDigest(fields);
  const passed: Buffer[] = [];
  await pipeline(Readable.from(chunks), digest, async (source: AsyncIterable<Buffer>) => {
    for await (const chunk of source) passed.push(chunk);
  });
  expect(Buffer.concat(passed).equals(bytes)).toBe(true);
  return digest.content;
}

const field = fc.option(fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)));
const rows = fc.array(fc.tuple(field, field, field), { maxLength: 20 });

test('the hash depends on the rows only, not on their order or on the chunks of the stream', async () => {
  await fc.assert(
    fc.asyncProperty(rows, fc.array(fc.nat(), { maxLength: 12 }), fc.nat(), async (some, cuts, at) => {
      const whole = await digestOf(copyData(some), 3);
      expect(whole.rows).toBe(some.length);
      expect(await digestOf(copyData(some), 3, cuts)).toEqual(whole);
      expect(await digestOf(copyData(some.toReversed()), 3)).toEqual(whole);
      const middle = at % (some.length + 1);
      const parts = [some.slice(0, middle), some.slice(middle)];
      const hashes = await Promise.all(
        parts.map(async (part) => (await digestOf(copyData(part), 3)).contentHash),
      );
      expect(sumOfHashes(hashes)).toBe(whole.contentHash);
    }),
  );
});

test('the hash changes with one byte, with a value in another column, and with a duplicate row', async () => {
  await fc.assert(
    fc.asyncProperty(
      rows.filter(({ length }) => length > 0),
      fc.nat(),
      fc.nat(255),
      async (some, at, bits) => {
        const { contentHash } = await digestOf(copyData(some), 3);
        const [first] = some;
        const doubled = await digestOf(copyData([...some, first!]), 3);
        expect(doubled.contentHash).not.toBe(contentHash);
        const [a, b, c] = first!;
        const values = [a, b, c].map((value) => value?.toString('hex'));
        if (values[0] !== values[1]) {
          const swapped = await digestOf(copyData([[b, a, c] as Row, ...some.slice(1)]), 3);
          expect(swapped.contentHash).not.toBe(contentHash);
        }
        if (!a || a.length === 0 || bits === 0) return;
        const changed = Buffer.from(a);
        changed[at % a.length]! ^= bits;
        const other = await digestOf(copyData([[changed, b, c], ...some.slice(1)]), 3);
        expect(other.contentHash).not.toBe(contentHash);
      },
    ),
  );
});

test('a row of many chunks is read once all its chunks have arrived', async () => {
  const long = [[Buffer.alloc(3_000_000, 'x'), null, Buffer.from('end')]] satisfies Row[];
  const bytes = copyData(long);
  const cuts = Array.from({ length: 60 }, (_, index) => index * 50_000);
  expect(await digestOf(bytes, 3, cuts)).toEqual(await digestOf(bytes, 3));
});

test.each([
  ['it ends early', (bytes: Buffer) => bytes.subarray(0, -1)],
  ['it ends within a row', (bytes: Buffer) => bytes.subarray(0, -5)],
  ['its signature differs', (bytes: Buffer) => Buffer.concat([Buffer.from('X'), bytes.subarray(1)])],
  ['bytes follow its end', (bytes: Buffer) => Buffer.concat([bytes, Buffer.from('x')])],
  ['it is empty', () => Buffer.alloc(1)],
])('a stream is refused if %s', async (_why, damage) => {
  const bytes = damage(copyData([[Buffer.from('a'), null, Buffer.from('b')]]));
  await expect(digestOf(bytes, 3)).rejects.toThrow(NotCopyData);
});

test('rows of another table are refused', async () => {
  await expect(digestOf(copyData([[null, null]]), 3)).rejects.toThrow('a row has 2 fields, not 3');
});
