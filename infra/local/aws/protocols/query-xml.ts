import { AwsError } from '../errors.ts';

type Tree = { [key: string]: Tree | string };

/**
 * Parses `Parameters.member.1.ParameterKey=…` into nested structures and lists.
 * @throws {AwsError} MalformedInput when a name is both a value and a structure
 */
export function decodeQuery(body: string): { operation: string; members: Record<string, unknown> } {
  const root: Tree = Object.create(null);
  for (const [name, value] of new URLSearchParams(body)) {
    const path = name.split('.');
    let node = root;
    for (const segment of path.slice(0, -1)) {
      node[segment] ??= Object.create(null) as Tree;
      const next = node[segment];
      if (typeof next === 'string') throw new AwsError('MalformedInput', `Ambiguous parameter ${name}`);
      node = next;
    }
    node[path.at(-1)!] = value;
  }
  const { Action, Version: _version, ...members } = root;
  if (typeof Action !== 'string') throw new AwsError('MissingAction', 'Missing Action');
  return {
    operation: Action,
    members: Object.fromEntries(Object.entries(members).map(([key, value]) => [key, shape(value)])),
  };
}

/** Lists are nodes whose keys are numbers, wrapped in one element name (`member`, or the list's own). */
function shape(node: Tree | string): unknown {
  if (typeof node === 'string') return node;
  const keys = Object.keys(node);
  const only = keys.length === 1 ? node[keys[0]!] : undefined;
  if (keys.every((key) => /^\d+$/.test(key))) return inOrder(node);
  if (only !== undefined && typeof only !== 'string' && Object.keys(only).every((key) => /^\d+$/.test(key))) {
    return inOrder(only);
  }
  return Object.fromEntries(keys.map((key) => [key, shape(node[key]!)]));
}

function inOrder(node: Tree): unknown[] {
  return Object.keys(node)
    .sort((a, b) => Number(a) - Number(b))
    .map((key) => shape(node[key]!));
}

/** A successful answer of the query protocol. */
export function encodeQueryResult(
  operation: string,
  result: unknown,
  options: { namespace: string; items?: Record<string, string> | undefined; requestId: string },
): string {
  const body = result === undefined || result === null ? '' : members(result, options.items ?? {});
  return (
    `<?xml version="1.0" encoding="UTF-8"?>\n<${operation}Response xmlns="${options.namespace}">` +
    `<${operation}Result>${body}</${operation}Result>` +
    `<ResponseMetadata><RequestId>${options.requestId}</RequestId></ResponseMetadata></${operation}Response>`
  );
}

/** An error of the query protocol. */
export function encodeQueryError(error: AwsError, namespace: string, requestId: string): string {
  return (
    `<?xml version="1.0" encoding="UTF-8"?>\n<ErrorResponse xmlns="${namespace}"><Error>` +
    `<Type>${error.status < 500 ? 'Sender' : 'Receiver'}</Type><Code>${escapeXml(error.code)}</Code>` +
    `<Message>${escapeXml(error.message)}</Message></Error><RequestId>${requestId}</RequestId></ErrorResponse>`
  );
}

/** An error of S3, which has no wrapper element. */
export function encodeRestXmlError(error: AwsError, requestId: string): string {
  return (
    `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${escapeXml(error.code)}</Code>` +
    `<Message>${escapeXml(error.message)}</Message><RequestId>${requestId}</RequestId></Error>`
  );
}

function members(value: unknown, items: Record<string, string>): string {
  return Object.entries(value as Record<string, unknown>)
    .filter(([, member]) => member !== undefined && member !== null)
    .map(([name, member]) => `<${name}>${content(name, member, items)}</${name}>`)
    .join('');
}

function content(name: string, value: unknown, items: Record<string, string>): string {
  if (Array.isArray(value)) {
    const item = items[name] ?? 'member';
    return value.map((element) => `<${item}>${content(item, element, items)}</${item}>`).join('');
  }
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (typeof value === 'object' && value !== null) return members(value, items);
  return escapeXml(String(value));
}

const XML_ESCAPES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  // A parser would convert a bare carriage return into a newline.
  '\r': '&#xD;',
};

function escapeXml(text: string): string {
  return text.replace(/[&<>"\r]/g, (character) => XML_ESCAPES[character]!);
}
