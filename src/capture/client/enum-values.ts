/**
 * The database's words for the values of the enums, by the client's: enum → value → `@map`. The runtime data model does
 * not hold them, the text of the schema, which every generated client carries, does.
 */
export function enumValues(schema: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const enums = new Map<string, Map<string, string>>()
  let values: Map<string, string> | undefined
  for (const line of schema.split('\n')) {
    const opened = /^\s*enum\s+(\w+)\s*\{/.exec(line)
    if (opened?.[1] !== undefined) {
      values = new Map()
      enums.set(opened[1], values)
    } else if (/^\s*\}/.test(line)) {
      values = undefined
    } else if (values !== undefined) {
      const value = /^\s*(\w+)(?:[^/"]*@map\(\s*(?:name:\s*)?("(?:[^"\\]|\\.)*"))?/.exec(line)
      if (value?.[1] !== undefined) values.set(value[1], value[2] === undefined ? value[1] : unquoted(value[2]))
    }
  }
  return enums
}

function unquoted(literal: string): string {
  try {
    return String(JSON.parse(literal))
  } catch {
    return literal.slice(1, -1)
  }
}
