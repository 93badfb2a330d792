import { defineConfig } from '@playwright/test';

export default defineConfig({
  testMatch: '*.spec.js',
  outputDir: '../../out/playwright',
  reporter: 'line',
  use: { launchOptions: { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] } },
});
