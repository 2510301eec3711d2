import type { Resource } from './synthesized-app.ts';

export interface Statement {
  readonly Effect: 'Allow' | 'Deny';
  readonly Action: unknown;
  readonly Resource: unknown;
  readonly Condition?: unknown;
}

interface Document {
  readonly Statement: Statement[];
}

export interface FoundStatement {
  readonly where: string;
  /** Logical ids of the roles that have it. */
  readonly roles: readonly string[];
  readonly statement: Statement;
}

/** Every Allow statement of every identity policy, wherever it is written. */
export function allowStatements(
  resources: readonly (Resource & { stack: string; logicalId: string })[],
): FoundStatement[] {
  return resources.flatMap(({ stack, logicalId, Type, Properties }) => {
    const documents: Document[] =
      Type === 'AWS::IAM::Policy' || Type === 'AWS::IAM::ManagedPolicy'
        ? [Properties.PolicyDocument as Document]
        : Type === 'AWS::IAM::Role'
          ? ((Properties.Policies as { PolicyDocument: Document }[] | undefined) ?? []).map(
              (one) => one.PolicyDocument,
            )
          : [];
    const roles =
      Type === 'AWS::IAM::Role'
        ? [logicalId]
        : ((Properties.Roles as { Ref: string }[] | undefined) ?? []).map((role) => role.Ref);
    return documents
      .flatMap((document) => document.Statement)
      .filter(({ Effect }) => Effect === 'Allow')
      .map((statement) => ({ where: `${stack}/${logicalId}`, roles, statement }));
  });
}

export const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value]);

/** An unresolved value as text, references in angle brackets. */
export function text(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return value.map(text).join(',');
  const { Ref: reference, ...functions } = value as Record<string, unknown>;
  if (reference) return `<${reference}>`;
  const [[name, argument]] = Object.entries(functions) as [[string, unknown]];
  if (name === 'Fn::Join') {
    const [separator, parts] = argument as [string, unknown[]];
    return parts.map(text).join(separator);
  }
  if (name === 'Fn::GetAtt') return `<${(argument as string[]).join('.')}>`;
  return `<${text(argument)}>`;
}
