import { distance } from 'fastest-levenshtein'

/** The known name that was probably meant, or `undefined` where none is near enough to be worth a guess. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  // Two letters that changed places are a distance of 2; in a very short name that is another name.
  const allowed = name.length <= 3 ? 1 : Math.max(2, Math.floor(name.length / 3))
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const d = distance(name.toLowerCase(), candidate.toLowerCase())
    if (d <= allowed && d < bestDistance) {
      best = candidate
      bestDistance = d
    }
  }
  return best
}
