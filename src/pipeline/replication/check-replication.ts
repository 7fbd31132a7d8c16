import { checkPublication } from '../../capture/replication/publication.js'
import { checkServer } from '../../capture/replication/server.js'
import { inspectSlot, slotProblem } from '../../capture/replication/slot.js'
import type { ResolvedSync } from '../../config/resolved.js'
import { SyncError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { Databases } from '../databases.js'
import { wantedPublication, withClient } from '../migrate.js'
import type { Sources } from '../sources.js'
import { isLost } from './mend-slot.js'
import { tellUnloggedValues } from './unlogged-values.js'

interface CheckOptions {
  readonly databases: Databases
  readonly resolved: ResolvedSync
  readonly sources: Sources
  readonly logger: Logger
}

/** Checks that the server, the publication and the slot are as capture by replication needs them. */
export async function checkReplication({ databases, resolved, sources, logger }: CheckOptions): Promise<void> {
  await withClient(databases.source, async (client) => {
    await checkServer(client, resolved.slot.name)
    const wanted = wantedPublication(
      resolved,
      sources.all.map((source) => source.bound),
    )
    const [finding, ...more] = await checkPublication(client, wanted)
    if (finding !== undefined) {
      const all = [finding, ...more]
      throw new SyncError(finding.code, all.map(({ message }) => message).join('; '), {
        hint: ['Run: safetykit-sync migrate, which runs:', ...all.flatMap(({ sql }) => sql ?? [])].join('\n'),
      })
    }
    const { rows } = await client.query<{ name: string }>('SELECT pg_catalog.current_database() AS name')
    const slot = await inspectSlot(client, resolved.slot.name)
    const problem = slotProblem(resolved.slot.name, slot, rows[0]?.name ?? '')
    if (problem === null) return
    // What reads the slot makes it anew, and says so.
    if (isLost(problem) && resolved.slot.onLost === 'recreate') return
    if (problem.code !== 'SLOT_IN_USE') throw problem
    // A killed sidecar's connection takes a moment to go; another one that lives makes this one its standby.
    logger.warn(`${problem.message}; waiting for it`, { hint: problem.hint })
  })
  await tellUnloggedValues({ db: databases.source, sources, logger })
}
