import { runScenarios } from './run.js'

runScenarios('trigger', '7')
