/** More ways than this are not tried: an id that consists of separators would have millions. */
const maxSplits = 256

/**
 * All ways to split an id into so many parts at its separators; none where there are too many. One part is the id itself.
 */
export function splitId(id: string, separator: string, parts: number): readonly (readonly string[])[] {
  if (parts === 1) return [[id]]
  const splits: string[][] = []
  const complete = collect(id, separator, { parts, before: [], splits })
  return complete ? splits : []
}

function collect(
  rest: string,
  separator: string,
  { parts, before, splits }: { readonly parts: number; readonly before: string[]; readonly splits: string[][] },
): boolean {
  if (parts === 1) {
    splits.push([...before, rest])
    return splits.length <= maxSplits
  }
  for (let at = rest.indexOf(separator); at >= 0 && at < rest.length; at = rest.indexOf(separator, at + 1)) {
    const next = { parts: parts - 1, before: [...before, rest.slice(0, at)], splits }
    if (!collect(rest.slice(at + separator.length), separator, next)) return false
  }
  return true
}
