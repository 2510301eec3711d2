import { createHash } from 'node:crypto';
import { appendFileSync, cpSync, globSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Template } from '../../infra/local/index.ts';

export interface NextRelease {
  /** Tells this release from others. */
  name: string;
  /** New code of all functions, which does what the old one does. */
  code?: boolean;
  /** Invoke the own custom resources. */
  custom?: boolean;
  /** Changes templates in other ways. */
  adjust?(stackName: string, template: Template): void;
}

/**
 * Copies an assembly and changes it as a synth of another version of the project does.
 * @param outdir a new directory
 * @returns `outdir`
 */
export function makeNextRelease(
  assembly: string,
  outdir: string,
  { name, code = false, custom = false, adjust = () => {} }: NextRelease,
): string {
  cpSync(assembly, outdir, { recursive: true });
  for (const bundle of code ? globSync('asset.*/api', { cwd: outdir }) : []) {
    const before = bundle.slice('asset.'.length, -'/api'.length);
    const after = createHash('sha256').update(`${before} ${name}`).digest('hex');
    for (const file of globSync(`asset.${before}/**/*.mjs`, { cwd: outdir })) {
      appendFileSync(join(outdir, file), `\n// ${name}\n`);
    }
    renameSync(join(outdir, `asset.${before}`), join(outdir, `asset.${after}`));
    for (const file of globSync('*.json', { cwd: outdir }).map((one) => join(outdir, one))) {
      writeFileSync(file, readFileSync(file, 'utf8').replaceAll(before, after));
    }
  }
  for (const file of globSync('*.template.json', { cwd: outdir })) {
    const template = JSON.parse(readFileSync(join(outdir, file), 'utf8')) as Template;
    for (const { Type, Properties = {} } of Object.values(template.Resources)) {
      if (!custom || !isOwnCustomResource(Type)) continue;
      for (const property of ['SchemaHash', 'DeployTime', 'Release']) {
        if (property in Properties) Properties[property] = `${String(Properties[property])} ${name}`;
      }
    }
    adjust(file.replace('.template.json', ''), template);
    writeFileSync(join(outdir, file), JSON.stringify(template));
  }
  return outdir;
}

/** `Stack/LogicalId` of each of the assembly's own custom resources. */
export function ownCustomResources(assembly: string): string[] {
  return globSync('*.template.json', { cwd: assembly })
    .sort()
    .flatMap((file) => {
      const template = JSON.parse(readFileSync(join(assembly, file), 'utf8')) as Template;
      return Object.entries(template.Resources)
        .filter(([, { Type }]) => isOwnCustomResource(Type))
        .map(([logicalId]) => `${file.replace('.template.json', '')}/${logicalId}`);
    });
}

const isOwnCustomResource = (type: string) => type.startsWith('Custom::Strata');
