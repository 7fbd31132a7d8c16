import type { Stage } from './stage.js'

/** The newest version of `posts` that was committed so far. */
export async function newestVersion({ query }: Stage): Promise<number> {
  const [row] = await query<{ version: number }>('SELECT coalesce(max(version), 0) AS version FROM post_versions')
  return row?.version ?? 0
}

/**
 * Posts whose versions that were committed after one were not all accepted in the order of their commits. Others may lie
 * between: a crash goes back to what was not recorded, and a row that is read may be ahead.
 */
export async function leftOut({ query, emulator }: Stage, after: number): Promise<string[]> {
  const rows = await query<{ id: string; versions: number[] }>(
    'SELECT id::text, array_agg(version ORDER BY version) AS versions FROM post_versions WHERE version > $1 GROUP BY id',
    [after],
  )
  return rows.flatMap(({ id, versions }) => {
    let come = 0
    for (const { data } of emulator.history('posts', id)) if (Number(data.version) === versions[come]) come += 1
    return come === versions.length ? [] : [`posts/${id}: ${versions[come]} did not come, of ${versions.join(', ')}`]
  })
}
