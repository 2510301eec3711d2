/** The levels of a skill that names none of its own, from the lowest to the highest. */
export const DEFAULT_LEVELS: readonly string[] = ['beginner', 'intermediate', 'advanced', 'expert'];

/**
 * The levels of a skill, from the lowest to the highest.
 * @param stored `skills.proficiency_levels`
 */
export function levelsOf(stored: unknown): readonly string[] {
  const own = Array.isArray(stored) ? stored.filter((level) => typeof level === 'string') : [];
  return own.length > 0 ? own : DEFAULT_LEVELS;
}

/** The position of a level: 1 for the lowest; 0 for none, and for a level that the skill does not have. */
export function rankOf(levels: readonly string[], level: string | null | undefined): number {
  return level === null || level === undefined ? 0 : levels.indexOf(level) + 1;
}

/** The text for a level that the skill does not have. */
export const levelRule = (levels: readonly string[]): string => `must be one of ${levels.join(', ')}`;
