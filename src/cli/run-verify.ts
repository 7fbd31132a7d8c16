import { explainingDatabase } from '../database-errors.js'
import type { VerifyProgress } from '../pipeline/verify/report.js'
import { verify } from '../pipeline/verify/verify.js'
import { endProcess } from './end-process.js'
import { exitCodes } from './exit-codes.js'
import { keepHeapSmall } from './heap.js'
import { LiveLines } from './live-lines.js'
import { loadConfig } from './load-config.js'
import { createLogger } from './log.js'
import type { ConfigFlags, LogFlags, RowFlags } from './options.js'
import { databaseUrl, loadEnvFile } from './settings.js'
import { onStopSignals } from './stop-signals.js'
import { paintFor, print, printJson } from './terminal.js'
import { formatVerified, formatVerifyProgress } from './verify-text.js'

interface Flags extends ConfigFlags, LogFlags, RowFlags {
  readonly json?: true
}

export async function runVerify(flags: Flags): Promise<void> {
  keepHeapSmall()
  loadEnvFile()
  const url = databaseUrl(flags)
  const { resolved } = await loadConfig(flags.config)
  const { stderr } = process
  const lines = stderr.isTTY && process.env.TERM !== 'dumb' ? new LiveLines(stderr) : null
  const show = (progress: VerifyProgress): void => lines?.draw([formatVerifyProgress(progress)])
  const write = (text: string): void => {
    if (lines === null) stderr.write(text)
    else lines.above(text)
  }
  const logger = createLogger({ level: flags.logLevel, stream: { isTTY: stderr.isTTY, write } })
  const { model: models, table: tables, where } = flags
  // A signal ends it at once, as it would by itself; but the cursor is not to stay hidden.
  const release = onStopSignals((signal) => {
    lines?.end()
    release()
    process.kill(process.pid, signal)
  })
  try {
    const report = await explainingDatabase(url, () =>
      verify({ resolved, databaseUrl: url, logger, models, tables, where, onProgress: show }),
    )
    lines?.draw([])
    if (flags.json) printJson(report)
    else print(process.stdout, formatVerified(report, paintFor(process.stdout)))
    if (!report.inStep) endProcess(exitCodes.failure)
  } finally {
    lines?.end()
    release()
  }
}
