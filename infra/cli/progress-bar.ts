const CELLS = 20;

/** `[████░░░░░░░░░░░░░░░░]  20%` @param share 0 to 1 */
export function progressBar(share: number): string {
  const filled = Math.floor(share * CELLS);
  const percent = String(Math.floor(share * 100)).padStart(3);
  return `[${'█'.repeat(filled)}${'░'.repeat(CELLS - filled)}] ${percent}%`;
}
