import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { AssemblyError, AssetNotFound, reasonOf } from '../errors.ts';
import type { Assets, Template } from '../model.ts';
import { readJson } from '../state/state-file.ts';

/** A stack as the CDK app synthesized it. */
export interface AssemblyStack {
  name: string;
  region: string;
  template: Template;
}

export interface CloudAssembly {
  /** Ordered so that each stack follows those it depends on. */
  stacks: AssemblyStack[];
  /** Region of the app's first stack. */
  homeRegion: string;
  assets: Assets;
}

interface Manifest {
  artifacts?: Record<string, Artifact>;
}

interface Artifact {
  type: string;
  environment?: string;
  dependencies?: string[];
  properties?: { templateFile?: string; stackName?: string; file?: string; directoryName?: string };
}

interface AssetManifest {
  files?: Record<
    string,
    { source?: { path?: string }; destinations?: Record<string, { bucketName?: string; objectKey?: string }> }
  >;
}

/** Stacks without a fixed region run here. */
const defaultRegion = 'us-east-1';

/**
 * Reads a `cdk.out` directory with its stages.
 * @throws {AssemblyError} when it is not a cloud assembly
 */
export function readCloudAssembly(directory: string): CloudAssembly {
  const assetPaths = new Map<string, string>();
  const stacks = readAssembly(directory, assetPaths);
  if (stacks.length === 0) throw new AssemblyError(`${directory} holds no stack`);
  return {
    stacks,
    homeRegion: firstRegion(directory) ?? defaultRegion,
    assets: {
      path(location) {
        const wanted = 'url' in location ? location.url : `s3://${location.bucket}/${location.key}`;
        const key = wanted.slice(wanted.lastIndexOf('/') + 1);
        const path = assetPaths.get(key);
        if (!path) throw new AssetNotFound(`no asset of the assembly is stored at ${wanted}`);
        return path;
      },
    },
  };
}

function readAssembly(directory: string, assetPaths: Map<string, string>): AssemblyStack[] {
  const artifacts = readArtifacts(directory);
  const stacks: AssemblyStack[] = [];
  for (const id of inDependencyOrder(artifacts)) {
    const { type, environment, properties } = artifacts[id]!;
    if (type === 'cdk:cloud-assembly' && properties?.directoryName) {
      stacks.push(...readAssembly(join(directory, properties.directoryName), assetPaths));
    } else if (type === 'cdk:asset-manifest' && properties?.file) {
      readAssets(directory, properties.file, assetPaths);
    } else if (type === 'aws:cloudformation:stack' && properties?.templateFile) {
      stacks.push({
        name: properties.stackName ?? id,
        region: regionOf(environment),
        template: readDocument<Template>(join(directory, properties.templateFile)),
      });
    }
  }
  return stacks;
}

/** The first stack in the order in which the app made them. */
function firstRegion(directory: string): string | undefined {
  for (const { type, environment, properties } of Object.values(readArtifacts(directory))) {
    if (type === 'aws:cloudformation:stack') return regionOf(environment);
    if (type !== 'cdk:cloud-assembly' || !properties?.directoryName) continue;
    const region = firstRegion(join(directory, properties.directoryName));
    if (region) return region;
  }
  return undefined;
}

function readArtifacts(directory: string): Record<string, Artifact> {
  return readDocument<Manifest>(join(directory, 'manifest.json')).artifacts ?? {};
}

function regionOf(environment: string | undefined): string {
  const region = environment?.split('/').at(-1) ?? defaultRegion;
  return region === 'unknown-region' ? defaultRegion : region;
}

function readAssets(directory: string, file: string, assetPaths: Map<string, string>): void {
  for (const asset of Object.values(readDocument<AssetManifest>(join(directory, file)).files ?? {})) {
    if (!asset.source?.path) continue;
    for (const { objectKey } of Object.values(asset.destinations ?? {})) {
      // Keys end in the content's hash, so the last segment is unique whatever the bucket or prefix.
      if (objectKey)
        assetPaths.set(objectKey.slice(objectKey.lastIndexOf('/') + 1), join(directory, asset.source.path));
    }
  }
}

function inDependencyOrder(artifacts: Record<string, Artifact>): string[] {
  const ordered = new Set<string>();
  const visit = (id: string, path: string[]) => {
    if (ordered.has(id) || !artifacts[id]) return;
    if (path.includes(id))
      throw new AssemblyError(`stacks depend on each other: ${[...path, id].join(' → ')}`);
    for (const dependency of artifacts[id].dependencies ?? []) visit(dependency, [...path, id]);
    ordered.add(id);
  };
  for (const id of Object.keys(artifacts)) visit(id, []);
  return [...ordered];
}

function readDocument<T>(path: string): T {
  if (!existsSync(path))
    throw new AssemblyError(`${path} is missing: the CDK app did not write a whole assembly`);
  try {
    return readJson<T>(path, {} as T);
  } catch (cause) {
    throw new AssemblyError(`cannot read the assembly: ${reasonOf(cause)}`);
  }
}
