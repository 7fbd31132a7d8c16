import type { Stage } from './stage.js'

/** The newest version of `posts` that was committed so far. */
export async function newestVersion({ query }: Stage): Promise<number> {
  const [row] = await query<{ version: number }>('SELECT coalesce(max(version), 0) AS version FROM post_versions')
  return row?.version ?? 0
}

/**
 * What is wrong with the versions of `posts` that were committed after one: each is to be accepted, in the order of the
 * commits. A crash goes back to what was not recorded, and from there all come again.
 */
export async function leftOut({ query, emulator }: Stage, after: number): Promise<string[]> {
  const rows = await query<{ id: string; versions: number[] }>(
    'SELECT id::text, array_agg(version ORDER BY version) AS versions FROM post_versions WHERE version > $1 GROUP BY id',
    [after],
  )
  return rows.flatMap(({ id, versions }) => {
    const place = new Map(versions.map((version, at) => [version, at]))
    const sent = emulator
      .history('posts', id)
      .flatMap(({ data }) => (data.deleted === true ? [] : (place.get(Number(data.version)) ?? [])))
    const missing = versions.filter((_, at) => !sent.includes(at))
    const jump = sent.findIndex((at, nr) => at > (sent[nr - 1] ?? -1) + 1)
    if (missing.length === 0 && jump < 0) return []
    const jumped = jump < 0 ? '' : `, ${versions[sent[jump] ?? 0]} came after ${versions[sent[jump - 1] ?? 0]}`
    return [`posts/${id}: of ${versions.length} versions were left out: ${missing.join(', ') || 'none'}${jumped}`]
  })
}
