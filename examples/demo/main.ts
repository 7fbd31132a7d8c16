// npm run demo: from a committed row to a request id, on this machine alone. `npm run demo -- --keep` leaves it running.
import { parseArgs } from 'node:util'
import { keep, perform } from '../perform.js'
import { bold, code, heading, line } from '../print.js'
import { type DemoStage, openDemoStage } from './stage.js'
import { tellStory } from './story.js'

const { values: flags } = parseArgs({ options: { keep: { type: 'boolean', default: false } } })

await perform(async (interrupted) => {
  heading('1  A database, SafetyKit, and the sidecar between them')
  const stage = await openDemoStage(interrupted)
  try {
    await tellStory(stage, interrupted)
    if (flags.keep) {
      tellAddresses(stage)
      await keep(interrupted, [stage.sidecar])
    } else {
      await stage.stopSidecar()
    }
  } finally {
    await stage.close()
  }
})

function tellAddresses({ databaseUrl, emulator, sidecar }: DemoStage): void {
  heading('Everything keeps running')
  line(`  ${bold('Postgres ')}  ${databaseUrl}`)
  line(`  ${bold('SafetyKit')}  ${emulator.url}/emulator/objects/products`)
  line(`  ${bold('Sidecar  ')}  process ${sidecar.pid}`)
  line('\n  How it stands, from the root of the repository:')
  code(`DATABASE_URL=${databaseUrl} \\\n  node dist/cli/main.js status --config examples/demo/safetykit.config.ts`)
  line('\n  Ctrl-C stops and removes all of it.')
}
