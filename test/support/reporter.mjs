import { relative } from 'node:path';
import { DefaultReporter, VerboseReporter } from '@jest/reporters';

/** Jest's own reporter, with the progress before each file and the slowest files at the end. */
const withProgress = (Reporter) =>
  class extends Reporter {
    onTestResult(test, result, results) {
      const { numTotalTestSuites: all, numPassedTestSuites, numFailedTestSuites: failed } = results;
      if (all > 1) {
        const seconds = Math.round((Date.now() - results.startTime) / 1000);
        const place = `${numPassedTestSuites + failed} of ${all} files, ${seconds} s, ${failed} failed`;
        this.log(place);
      }
      super.onTestResult(test, result, results);
    }

    onRunComplete(contexts, results) {
      super.onRunComplete(contexts, results);
      const slowest = results.testResults
        .map(({ perfStats, testFilePath }) => ({
          seconds: (perfStats.end - perfStats.start) / 1000,
          file: relative(process.cwd(), testFilePath),
        }))
        .sort((a, b) => b.seconds - a.seconds)
        .slice(0, 10);
      if (results.testResults.length <= slowest.length) return;
      this.log('\nThe ten slowest files:');
      for (const { seconds, file } of slowest)
        this.log(`${seconds.toFixed(1).padStart(7)} s  ${file}`);
    }
  };

export default class {
  constructor(config, context) {
    const Reporter = config.verbose ? VerboseReporter : DefaultReporter; // verbose: a single file
    return new (withProgress(Reporter))(config, context);
  }
}
