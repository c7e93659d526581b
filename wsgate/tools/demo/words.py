"""What the demo's tokens are called and what people say about them."""

FIRST = (
    "Amber Brave Cosmic Dizzy Electric Fuzzy Golden Happy Icy Jolly Lazy Lucky Mellow Midnight "
    "Nimble Orbit Pixel Quantum Rusty Silent Sleepy Solar Tiny Turbo Velvet Wandering Wild Zesty"
).split()

SECOND = (
    "Otter Badger Cactus Comet Dolphin Falcon Ferret Frog Gecko Hamster Heron Koala Lemur Lynx "
    "Mango Moth Narwhal Noodle Owl Panda Pepper Pickle Puffin Raccoon Sloth Turnip Walrus Yak"
).split()

DESCRIPTIONS = (
    "Started as a joke between three friends and never stopped trading since.",
    "The first token that funds a real animal shelter with every single swap.",
    "A small community, no promises, a fair launch and an open treasury.",
    "Built in public by people who would rather ship on a Sunday than sleep.",
    "Fair launch: no pre-sale, no team allocation and no locked surprises.",
    "Made by the largest fan club of its kind, run by a vote every week.",
    "A study in patience, priced every few seconds by total strangers.",
    "One mascot, one supply, one promise: the liquidity stays in the pool.",
    "Half of all fees buys back supply, the other half pays for the artists.",
    "Roadmap: there is none. The mascot decides, and the mascot is asleep.",
    "Holders vote on everything, including the colour of the hat. So far: orange.",
    "Not advice, not a company, not even serious. Trade like a grown-up anyway.",
    "Read the pinned post before you ask when: the answer is still the same.",
)

PEOPLE = (
    "ada bruno carmen dmitri elif farah goran hana ivo june kofi lena mateo nadia oskar priya "
    "quinn rosa sven tomoko uma viktor wren ximena yusuf zoe"
).split()

# Some are awkward on purpose: markup, quotes and other scripts must reach the browser unharmed.
COMMENTS = (
    "gm ☀️",
    "Who is selling here? 👀",
    "Bought a little more. Don't tell my sister.",
    "The chart looks like my cat walked over it.",
    "Liquidity is growing nicely, slow and steady wins.",
    "In since the first hour, still here, still no regrets.",
    "Can somebody explain what just happened?",
    "Sold half, sleeping better already.",
    "<b>bold</b> prediction: up & to the right",
    'My dentist asked me about it. "Interesting", he said.',
    "This community is the friendliest on the whole site <3",
    "最高のコミュニティです 🚀",
    "¿Alguien más mirando esto a las 3 de la mañana?",
    "Holding. Not because I'm brave, I forgot the password.",
    "Down 4 % and up 6 % while I wrote this.",
    "Volume!",
)
