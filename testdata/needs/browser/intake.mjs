// Plays a person who gives a secret on the page of a request, in a real browser. Arguments: the page's link, a wrong code, the right one; the value comes on standard input.
// Prints what the person saw, page by page, and what the browser complained about, as JSON.
import chromium from '@sparticuz/chromium';
import puppeteer from 'puppeteer-core';
import { readFileSync } from 'node:fs';

const [link, wrong, code] = process.argv.slice(2);
const value = readFileSync(0, 'utf8');
const browser = await puppeteer.launch({
  executablePath: process.arch === 'x64' ? await chromium.executablePath() : '/usr/bin/chromium', // what the package ships is for x64
  headless: 'shell',
  args: ['--no-sandbox', '--disable-gpu', '--no-proxy-server', '--disable-dev-shm-usage'],
});
try {
  const page = await browser.newPage();
  const complaints = [];
  const seen = [];
  const requested = [];
  page.on('console', (m) => complaints.push(m.text()));
  page.on('pageerror', (e) => complaints.push(String(e)));
  page.on('request', (r) => requested.push(r.method() + ' ' + r.url() + ' from ' + (r.headers().origin ?? '-')));
  const look = async () => seen.push(await page.evaluate(() => document.body.innerText));
  const send = () => Promise.all([page.waitForNavigation(), page.click('button')]);
  await page.goto(link);
  await look();
  for (const typed of [wrong, code]) {
    await page.type('#code', typed);
    await send();
    await look();
  }
  await page.type('#value', value);
  const masked = await page.evaluate(() => getComputedStyle(document.querySelector('#value')).webkitTextSecurity);
  const styled = await page.evaluate(() => getComputedStyle(document.querySelector('main')).maxWidth);
  await send();
  await look();
  await page.goBack();
  await look();
  const kept = await page.evaluate((v) => document.documentElement.outerHTML.includes(v) || [...document.querySelectorAll('textarea,input')].some((e) => e.value.includes(v)), value);
  console.log(JSON.stringify({ seen, complaints, requested, masked, styled, kept }));
} finally {
  await browser.close();
}
