/** Sums of figures by their names. What `other` does not have counts 0. */
export function addFigures<Figures extends { readonly [Name in keyof Figures]: number }>(
  one: Figures,
  other: Partial<Figures>,
): Figures {
  const names = Object.keys(one) as (keyof Figures)[];
  return Object.fromEntries(names.map((name) => [name, one[name] + (other[name] ?? 0)])) as Figures;
}
