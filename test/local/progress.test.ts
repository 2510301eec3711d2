import { expect, test } from 'vitest';
import { Progress, progressOf } from '../../infra/local/index.ts';

function recorded() {
  let out = '';
  const progress = new Progress((text) => {
    out += text;
  });
  return { progress, read: () => out.replace(/\d+\.\d s/g, '0.0 s') };
}

test('a phase is shown when it begins, and its duration ends the line', async () => {
  const { progress, read } = recorded();
  let atWork = '';
  const result = await progress.phase('synthesizing', async () => {
    atWork = read();
    return 7;
  });
  expect(atWork).toBe('synthesizing …');
  expect(read()).toBe('synthesizing …  0.0 s\n');
  expect(result).toBe(7);
});

test('a line that is logged during a phase is a line of its own', async () => {
  const { progress, read } = recorded();
  await progress.phase('deploying', async () => {
    progress.log('port 1 is busy');
    progress.log('taking port 2');
  });
  progress.log('ready');
  expect(read()).toBe('deploying …\nport 1 is busy\ntaking port 2\ndeploying …  0.0 s\nready\n');
});

test('after a phase that fails the next line begins a line', async () => {
  const { progress, read } = recorded();
  const failing = progress.phase('deploying', () => Promise.reject(new Error('no')));
  await expect(failing).rejects.toThrow('no');
  progress.log('stopped');
  expect(read()).toBe('deploying …\nstopped\n');
});

test('a log gets whole lines', async () => {
  const lines: string[] = [];
  const progress = progressOf((line) => lines.push(line.replace(/\d+\.\d s/, '0.0 s')));
  await progress.phase('deploying', async () => progress.log('a warning'));
  await progress.phase('starting', async () => {});
  expect(lines).toEqual(['deploying …', 'a warning', 'deploying …  0.0 s', 'starting …  0.0 s']);
});
