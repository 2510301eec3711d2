/** The pattern of LIKE for texts that contain `text`. The text is searched for literally: LIKE's wildcards are escaped. */
export const patternOf = (text: string): string => `%${text.replace(/[\\%_]/g, '\\$&')}%`;
