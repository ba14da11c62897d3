"""What people say for things that a model may know under other names: words, and signs such as emoji.

A small table of our own, for hints about a prompt. A line gives words and, behind the colon, names that mean the same
or come nearest, best first; of those the hint offers the ones that the opened model knows. Nothing behind the colon
says that nothing is near, so that no accident of spelling or of a clue is offered. A word that is the head of a known
name (hat: top hat) needs no line.
"""

from __future__ import annotations

from functools import lru_cache

_KIN = """
hat, cap, beanie, headgear: top hat, sun hat, graduation cap, crown
helmet: graduation cap, crown
shoe, trainer, footwear, slipper, sandal: sneaker, leather shoe, high heel, boot
pump, stiletto: high heel
shirt, blouse, pullover, sweater, jumper, vest: t-shirt
skirt, robe: dress, kimono
trousers, pants, shorts, leggings: pair of jeans
swimsuit, swimwear, trunks: bikini
scarf, collar: necktie
jewellery, jewelry, bracelet, necklace, earring: ring, gem, crown
diamond, ruby, emerald, sapphire, crystal: gem, ring
bag, purse, suitcase, luggage, satchel: handbag, backpack, briefcase
spectacles, goggles: pair of glasses, pair of sunglasses
cup, mug, teacup: cup of coffee, mug of beer, glass of milk
tea, espresso, cappuccino, latte, cocoa: cup of coffee
juice, lemonade, smoothie, soda, cola: tropical drink, cocktail, glass of milk
whisky, vodka, gin, rum, liquor: cocktail, glass of wine
wine: glass of wine, champagne bottle
bottle, flask: champagne bottle, baby bottle
beverage: cup of coffee, cocktail, glass of milk
ball: soccer ball, basketball, volleyball
bat: bat, baseball
racquet: tennis racket, badminton racket
snowboard, sled, sledge: pair of skis, ice skate
skateboard, rollerblade: ice skate, scooter
prize, award: trophy, medal
boat, yacht, dinghy, ferry, raft, rowboat: sailboat, speedboat, canoe, ship
submarine, vessel, battleship: ship, speedboat
lorry, van, pickup, vehicle: delivery truck, car, bus
train, engine, railway, subway, metro: steam locomotive, tram
jet, aircraft, glider, drone, airliner: airplane, helicopter
spacecraft, shuttle, ufo, missile: rocket, satellite
bike, cycle, tricycle: bicycle, motorcycle
wagon, cart, carriage, limousine, convertible, jeep: car, taxi
mars, jupiter, saturn, venus, mercury, neptune, planet, world: globe, moon, star
galaxy, universe, cosmos, space, comet, asteroid, meteor: star, rocket, moon
sunshine, sunrise, sunset, daylight: sun
storm, thunder, hurricane, cyclone: lightning bolt, tornado, cloud
rain, raindrop, tear: water drop, umbrella, cloud
snow, ice, frost, icicle, blizzard: snowflake, snowman
campfire, bonfire, torch, lava: flame, volcano
hill, mountain, peak, cliff: volcano
wood, forest, oak, birch, bush, shrub: tree, pine tree, palm tree
leaf, foliage: maple leaf, four-leaf clover
grass, herb, weed, sprout, vine: seedling, four-leaf clover
daisy, lily, orchid, poppy, daffodil, iris, lotus, petal: flower, tulip, rose
vase, flowerpot: bouquet, flower
puppy, hound, poodle, wolfhound, terrier: dog, wolf
kitten, feline, leopard, panther, cheetah, lynx: cat, tiger, lion
pony, donkey, mule, zebra, stallion: horse
bull, ox, calf, buffalo, bison: cow
goat, lamb, ram, alpaca, llama: sheep, camel
boar, hog: pig
rat, gerbil, mole: mouse, hamster
squirrel, beaver, hedgehog, badger, otter: chipmunk, hamster
hare: rabbit
moose, elk, reindeer, antelope, gazelle, giraffe: deer
hippo, hippopotamus, mammoth: elephant, rhinoceros
ape, chimp, chimpanzee, orangutan, baboon: gorilla, monkey
grizzly: bear, panda
seal, walrus, orca: whale, dolphin
salmon, trout, tuna, cod, carp: fish
lobster, crayfish: crab, shrimp
jellyfish, starfish, cuttlefish: octopus, squid
clam, oyster, mussel: seashell
parrot, sparrow, robin, crow, raven, swallow, seagull, pigeon: bird, dove, eagle
falcon, vulture, hawk: eagle
goose, swan: duck
rooster, hen, cockerel, turkey: chicken
moth, dragonfly, insect: butterfly, bee
wasp, hornet, fly, mosquito: bee
beetle, bug: ladybug
worm, larva: caterpillar, snake
dinosaur, lizard, iguana, salamander: lizard, dragon, crocodile
monster, beast: dragon
raspberry, blueberry, blackberry, cranberry: strawberry, cherry
orange, clementine, grapefruit, lime: tangerine, lemon
apricot, plum, nectarine, mango, papaya: peach
onion, garlic, lettuce, cabbage, spinach, broccoli, zucchini, pea, bean: cucumber, carrot, tomato
nut, almond, hazelnut, walnut: peanut, chestnut
bread, toast, bun, roll, baguette, bagel: loaf of bread, croissant
pie, tart, muffin, cupcake, dessert: birthday cake, slice of cake, doughnut
biscuit, cracker: cookie
sweets, gum, toffee: candy, lollipop
ice, gelato, sorbet, sundae: ice cream cone
sandwich, toastie, kebab, wrap: hamburger, burrito, taco
chips, crisps: portion of french fries
soup, stew, curry, rice, dumpling: bowl of noodles, rice ball
pasta, lasagna, macaroni: plate of spaghetti
meat, steak, sausage, ham: bacon, chicken leg, hot dog
butter, yoghurt: wedge of cheese, glass of milk
jam, syrup, sugar: honey pot
crêpe, waffle: stack of pancakes
lunch, dinner, breakfast, meal: bento box, dinner plate
computer, pc, tablet, notebook, monitor, screen: laptop
telephone, cellphone, iphone, handset: mobile phone, telephone
clock, timer, stopwatch: alarm clock, watch, hourglass
lamp, lightbulb, bulb: light bulb, paper lantern, candle
lantern: paper lantern, candle
pen, quill, marker, brush: pencil, paintbrush, crayon
knife, sword, blade, axe: kitchen knife, dagger
fork, cutlery, ladle: spoon, dinner plate
plate, dish, saucer: dinner plate
pan, pot, wok: frying pan
saw, screwdriver, drill, pliers, tool: hammer, wrench
nail, screw, pin, needle: pushpin, paperclip
chest, crate, package, box, carton: cardboard box, gift
money, cash, coin, dollar, gold, treasure: money bag, gem
mail, post, postcard, message: envelope, postbox
diary, magazine, novel, dictionary: book, open book, newspaper
map, parchment, paper: scroll, newspaper
bin, rubbish, garbage: wastebasket
chair, sofa, couch, armchair, bench, stool, desk, table, furniture: bed
sink, basin, bath: bathtub
lock, bolt: padlock, key
medicine, vaccine: pill, syringe
robot, android:
cabin, hut, cottage, home, villa, mansion, apartment, igloo: house
palace, fortress, tower: castle, tokyo tower
temple, cathedral, mosque, chapel: church, castle
skyscraper, office, school, shop, hotel: hospital, factory, house
camp, tipi: tent
sculpture, statue: moai, statue of liberty
piano, organ, keyboard: piano keyboard
banjo, ukulele, bass, cello, harp, lute: guitar, violin
flute, clarinet, trombone, horn, tuba: trumpet, saxophone
cymbal, tambourine, bongo: drum
song, music, melody, stereo: radio, pair of headphones
cinema, movie, film: film camera, clapperboard
photo, photograph: camera
doll, toy, teddy, puppet: bear, balloon, game controller
game, console, chess, card, cards: game controller, joystick, die
king, queen, prince, princess: crown
knight, soldier, armour: shield, dagger
ghost, witch, halloween: jack-o'-lantern, bat
santa, christmas, elf: christmas tree, gift, snowman
birthday, party: birthday cake, balloon, party popper
easter: egg, rabbit, chick
wedding, marriage: ring, bouquet
love, heart, romance: rose
man, woman, boy, girl, person, people, human, child, baby, face, hand, eye, smile, smiley, smiling, laughing, crying:
sad, happy, angry, funny, sweet, cute, beautiful, ugly, strong, pretty, nice, old, young, new, tired, scared, cool:
he, she, him, hers, hello, hi, thanks:
"""

# Signs whose own Unicode names do not hold the name that models know them by.
_SIGNS = {
    "🐞": "ladybug", "🌲": "pine tree", "🌽": "ear of corn", "🎱": "billiard ball", "🎯": "dartboard",
    "🎨": "paint palette", "👟": "sneaker", "🎒": "backpack", "🥁": "drum", "🎧": "pair of headphones",
    "💻": "laptop", "🐛": "caterpillar", "🥝": "kiwi", "🍗": "chicken leg", "🍳": "frying pan",
    "🍜": "bowl of noodles", "☕": "cup of coffee", "🍾": "champagne bottle", "🌍": "globe", "🌎": "globe",
    "🌏": "globe", "⚡": "lightning bolt", "🌪": "tornado", "🗿": "moai", "🚋": "tram", "🏓": "ping pong paddle",
    "🏸": "badminton racket", "🎿": "pair of skis", "🎮": "game controller", "🎭": "pair of theatre masks",
    "🎀": "bow", "👞": "leather shoe", "👒": "sun hat", "🎹": "piano keyboard", "🎬": "clapperboard",
    "📚": "stack of books", "📦": "cardboard box", "⚖": "balance scale", "💿": "compact disc",
    "🍽": "dinner plate", "🔪": "kitchen knife", "🍮": "custard pudding", "🐶": "dog", "🐱": "cat", "🐕": "dog",
    "🐈": "cat", "🐁": "mouse", "🐇": "rabbit", "🐎": "horse", "🐄": "cow", "🐖": "pig", "🐘": "elephant",
    "🌸": "cherry blossom", "🌹": "rose", "🌼": "flower", "🌺": "flower", "🌞": "sun", "☀": "sun", "🌝": "moon",
    "🌕": "moon", "❄": "snowflake", "☃": "snowman", "⛄": "snowman", "✈": "airplane", "🚙": "car", "🏎": "racing car",
    "🚚": "delivery truck", "⛵": "sailboat", "🛥": "speedboat", "🏠": "house", "🏡": "house", "🌂": "umbrella",
    "☂": "umbrella", "☔": "umbrella", "📱": "mobile phone", "☎": "telephone", "✏": "pencil", "✂": "pair of scissors",
    "🎂": "birthday cake", "🍰": "slice of cake", "🍟": "portion of french fries", "🍦": "ice cream cone",
    "🍷": "glass of wine", "🍺": "mug of beer", "🥛": "glass of milk", "👓": "pair of glasses",
    "🕶": "pair of sunglasses", "👖": "pair of jeans", "👑": "crown", "💎": "gem", "🎁": "gift",
}  # fmt: skip


@lru_cache(maxsize=1)
def _lines() -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for line in _KIN.strip().splitlines():
        words, _, names = line.partition(":")
        near = tuple(name.strip() for name in names.split(",") if name.strip())
        for word in words.split(","):
            table.setdefault(word.strip(), near)
    return table


def kin(word: str) -> tuple[str, ...] | None:
    """Names near a word (lower case, singular), best first; () where nothing is near, None where nobody knows."""
    return _lines().get(word)


def sign(text: str) -> str:
    """The name of a sign such as an emoji; "" where it is not in the table."""
    return _SIGNS.get(text, "")
