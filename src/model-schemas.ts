/**
 * The Postgres schemas of models with `@@schema`, by the model's name. The runtime data model of Prisma 6 does not hold
 * them; the text of the schema, which every generated client carries, does.
 */
export function modelSchemas(prismaSchema: string): ReadonlyMap<string, string> {
  const schemas = new Map<string, string>()
  let model: string | undefined
  for (const line of prismaSchema.split('\n')) {
    const opened = /^\s*model\s+(\w+)\s*\{/.exec(line)
    if (opened?.[1] !== undefined) model = opened[1]
    else if (/^\s*\}/.test(line)) model = undefined
    else if (model !== undefined) {
      const name = /^\s*@@schema\(\s*(?:(?:map|name):\s*)?("(?:[^"\\]|\\.)*")/.exec(line)?.[1]
      if (name !== undefined) schemas.set(model, String(JSON.parse(name)))
    }
  }
  return schemas
}
