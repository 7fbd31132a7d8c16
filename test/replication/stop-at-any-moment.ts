import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { openWalStream } from '../../src/capture/replication/wal-stream.js'
import { Recorder } from './recorder.js'

/** A process of its own: it exits by itself only if stopped streams have left nothing behind. */
const [url, slot, publication] = process.argv.slice(2)
assert(url !== undefined && slot !== undefined && publication !== undefined)

for (let round = 0; round < 20; round++) {
  const recorder = new Recorder({ settle: () => false })
  const stream = openWalStream({
    connection: { connectionString: url },
    slot,
    publication,
    consumer: recorder,
    timings: { retryMaxMs: 20 },
  })
  // From before the connection exists to the middle of the rows.
  await sleep(round * 3)
  await stream.stop()
  await stream.done
  const seen = recorder.messages.length
  await sleep(5)
  assert.equal(recorder.messages.length, seen, 'a stopped stream delivers nothing')
}
