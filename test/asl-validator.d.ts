declare module 'asl-validator' {
  /** Checks a state machine's definition, which it changes: it fills in `QueryLanguage`. */
  export default function validator(definition: object): { isValid: boolean; errorsText(): string };
}
