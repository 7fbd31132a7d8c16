import { runScenarios } from './run.js'

runScenarios('replication', '7')
