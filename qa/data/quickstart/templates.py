"""Word lists and sentence templates of which `qa.data.quickstart.passages` makes its passages.

A template slot is `{type_role}` or `{type_role|particle}`: the type names the pool that the value
is drawn from, the role tells two values of a type apart, and the particle (written in its form
after a consonant) is attached in the form that fits the value. `{type_role!particle}` is the
particle alone, for a value that stands before it in brackets. Three slots are the article's
entity: `{그는}` and `{그의}` become its name, a pronoun or nothing; `{name}`, in questions, becomes
its name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """Ways to state a fact, and ways to ask for each of its slots."""

    sentences: tuple[str, ...]
    questions: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Kind:
    """What there is to say about one kind of entity; `facts` are in the order of their years."""

    entity: str  # the type whose pool holds the names of such entities
    topics: tuple[str, ...]  # what {그는} may become besides the name
    owners: tuple[str, ...]  # what {그의} may become besides the name
    facts: tuple[Fact, ...]
    asides: tuple[str, ...]  # sentences without an answer


def words(text: str) -> list[str]:
    """Return the words of a text; `_` in a word stands for a blank."""
    return text.split()


# The lists of which POOLS composes names. A pool has, for each of its patterns, all combinations of
# one word from each list.
SURNAMES = words(
    "김 이 박 최 정 강 조 윤 장 임 한 오 서 신 권 황 안 송 류 홍 문 배 백 허 남 심 노 하"
)
GIVEN_FIRST = words(
    "가 건 경 규 기 나 다 도 동 두 라 명 미 민 병 보 상 서 선 설 성 세 소 수 "
    "승 시 아 연 영 예 용 우 원 유 은 인 재 정 종 주 준 지 진 찬 채 태 하 해 현 혜 호 희"
)
GIVEN_LAST = words(
    "경 관 구 국 권 규 균 근 기 나 담 라 란 래 린 만 모 미 민 범 별 빈 산 상 서 석 선 성 솔 수 숙 "
    "슬 식 아 안 연 영 옥 온 완 용 우 욱 원 율 윤 은 인 일 재 정 주 준 지 진 찬 철 태 하 현 혁 "
    "호 환 훈 희"
)
PLACE_FIRST = words(
    "가 강 고 광 구 금 나 남 다 단 달 대 덕 도 동 마 명 모 무 미 백 벽 보 봉 부 북 사 산 삼 상 새 "
    "서 석 선 설 소 송 수 신 안 양 여 연 영 오 옥 온 완 용 운 월 은 의 장 전 정 제 주 죽 진 창 "
    "천 청 초 춘 충 태 통 평 포 하 한 해 화 황 효 흑"
)
PLACE_LAST = words(
    "강 경 계 곡 곶 관 교 구 기 남 내 녕 담 당 덕 도 동 랑 래 량 령 론 리 림 말 목 문 미 방 백 봉 "
    "빈 산 생 서 선 성 소 송 수 안 암 양 여 연 영 오 온 옹 완 왕 운 울 원 월 은 읍 인 제 종 주 진 "
    "창 천 청 초 촌 춘 탄 택 파 평 포 풍 하 항 해 현 호 홍 화 흥"
)
BRAND_FIRST = words(
    "가온 나래 누리 다솜 도담 두레 마루 미르 바름 별빛 보람 새롬 샛별 소담 슬기 아람"
)
BRAND_LAST = words(
    "결 금 담 들 란 람 론 루 림 만 목 벗 봄 빛 산 샘 서 솔 숲 심 안 온 원 율 재 터 품 힘"
)
COMPANY_TYPES = words(
    "가구 건설 물산 시계 식품 악기 유통 인쇄 전자 제과 제약 조선 출판사 통신 항공"
)
HALL_TYPES = words("공연장 과학관 극장 기록관 도서관 문학관 미술관 박물관 수목원 식물원 천문대")
SCHOOL_TYPES = words("고등학교 공업학교 과학원 대학 대학교 미술학교 예술학교 음악원")
PRIZE_FIRST = words(
    "가람 금빛 날개 노을 들꽃 등대 물결 바다 백조 봄날 새벽 소나무 은하 푸른솔 하늘 한빛"
)
PRIZE_MIDDLE = words("공로 기술 문화 미래 번역 산업 시민 예술 지식 창작 평화 학술")
PRIZE_LAST = words("대상 메달 본상 상 훈장")
TITLE_FIRST = words(
    "가난한 가벼운 검은 고요한 긴 깊은 낡은 남쪽 낯선 노란 느린 늙은 늦은 다정한 달콤한 "
    "따뜻한 마지막 먼 밝은 보이지_않는 북쪽 붉은 빈 사라진 서쪽 세_번째 숨은 슬픈 어두운 얼어붙은 "
    "오래된 외로운 용감한 움직이는 작은 잠든 젊은 조용한 차가운 첫 춤추는 "
    "커다란 투명한 푸른 하얀 흐린"
)
TITLE_MIDDLE = words(
    "강 거울 거인 계단 고래 골목 구름 기차 길 꽃 나무 나비 다리 달 도시 돌 들판 등불 마을 "
    "목소리 문 물고기 바다 바람 밤 방 배 별 봄 불 비 빵집 사막 산 새 섬 손님 숲 시계 씨앗 아이 "
    "안개 여우 여름 역 우물 우산 의자 정원 지도 집 창 편지 항구 호수"
)
TITLE_LAST = words(
    "가족 거리 계절 고백 그림자 기억 기록 꿈 날들 냄새 노래 눈물 맛 무게 비밀 빛 사랑 소리 속삭임 "
    "시간 약속 얼굴 여행 온도 이름 이야기 일기 자리 저녁 주인 초상 춤 침묵 풍경 하루 향기"
)
GOODS = words(
    "가방 건전지 계산기 과자 국수 기타 나침반 난로 냄비 등잔 라디오 망원경 모자 물감 비누 빵 사전 "
    "사진기 선풍기 시계 신발 안경 엽서 우산 의자 자전거 잡지 종이 지도 차 책상 치약 "
    "칫솔 통조림 피아노"
)
JOBS = words(
    "건축가 과학자 극작가 기자 무용가 배우 번역가 사진가 생물학자 성악가 소설가 수학자 시인 "
    "언어학자 역사학자 의사 작곡가 조각가 지휘자 천문학자 철학자 피아니스트 화가 화학자"
)
COUNTS = [str(n) for n in range(20, 3000, 10)]

POOLS: dict[str, tuple[tuple[list[str], ...], ...]] = {
    "person": ((SURNAMES, GIVEN_FIRST, GIVEN_LAST),),
    "place": ((PLACE_FIRST, PLACE_LAST, ["", "", "시", "군", "읍", "마을"]),),
    "company": (
        (BRAND_FIRST, COMPANY_TYPES),
        (PLACE_FIRST, BRAND_LAST, COMPANY_TYPES),
    ),
    "hall": ((BRAND_FIRST, HALL_TYPES), (PLACE_FIRST, BRAND_LAST, HALL_TYPES)),
    "school": ((BRAND_FIRST, SCHOOL_TYPES), (PLACE_FIRST, PLACE_LAST, SCHOOL_TYPES)),
    "prize": ((PRIZE_FIRST, PRIZE_MIDDLE, PRIZE_LAST),),
    "work": (
        (TITLE_FIRST, [" "], TITLE_MIDDLE, ["의 "], TITLE_LAST),
        (TITLE_FIRST, [" "], TITLE_LAST),
        (TITLE_MIDDLE, ["와 ", "의 "], TITLE_LAST),
    ),
    "goods": ((BRAND_FIRST, [" "], GOODS), (BRAND_FIRST, BRAND_LAST, [" "], GOODS)),
    "job": ((JOBS,),),
    "staff": ((COUNTS, ["명"]),),
    "items": ((COUNTS, ["점"]),),
    "seats": ((COUNTS, ["석"]),),
}

PERSON = Kind(
    entity="person",
    topics=("", "", "그는 "),
    owners=("", "그의 "),
    facts=(
        Fact(
            (
                "{그는}{year_birth}에 {place_birth}에서 태어났다.",
                "{그는}{place_birth}에서 {year_birth}에 태어났다.",
                "{그의}고향은 {place_birth}이고, 태어난 해는 {year_birth}이다.",
                "{그는}{year_birth} {place_birth}의 한 농가에서 태어났다.",
                "{그는}{place_birth} 출신으로 {year_birth}에 태어났다.",
            ),
            {
                "year_birth": (
                    "{name|은} 언제 태어났는가?",
                    "{name|이} 태어난 해는 언제인가?",
                    "{name|은} 몇 년에 태어났나?",
                    "{name}의 출생 연도는?",
                ),
                "place_birth": (
                    "{name|은} 어디에서 태어났는가?",
                    "{name|이} 태어난 곳은 어디인가?",
                    "{name}의 고향은 어디인가?",
                    "{name|은} 어디 출신인가?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{year_school}에 {school_own|을} 졸업했다.",
                "{그는}{school_own}에서 공부하고 {year_school}에 학교를 마쳤다.",
                "{year_school}에는 {school_own|을} 우수한 성적으로 졸업했다.",
            ),
            {
                "school_own": (
                    "{name|이} 졸업한 학교는 어디인가?",
                    "{name|은} 어느 학교를 나왔는가?",
                    "{name|이} 다닌 학교의 이름은?",
                ),
                "year_school": (
                    "{name|은} 언제 학교를 졸업했는가?",
                    "{name|이} 학교를 마친 해는 언제인가?",
                    "{name}의 졸업 연도는?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{person_teacher}에게 일을 배웠다.",
                "{그의}스승은 {person_teacher}이다.",
                "{그는}어릴 때부터 {person_teacher}의 가르침을 받았다.",
                "젊은 시절에는 {person_teacher|이} 그를 가르쳤다.",
            ),
            {
                "person_teacher": (
                    "{name}의 스승은 누구인가?",
                    "{name|을} 가르친 사람은 누구인가?",
                    "{name|은} 누구에게 배웠는가?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{year_debut}에 《{work_debut}》{work_debut!으로} 데뷔했다.",
                "{그의}첫 작품은 {year_debut}에 나온 《{work_debut}》이다.",
                "{그는}{year_debut} 첫 작품 '{work_debut}'{work_debut!을} 발표했다.",
                "{그는}'{work_debut}'{work_debut!을} 내놓으며 {year_debut}에 데뷔했다.",
            ),
            {
                "work_debut": (
                    "{name}의 첫 작품은 무엇인가?",
                    "{name}의 데뷔작은 무엇인가?",
                    "{name|이} 처음으로 발표한 작품은?",
                ),
                "year_debut": (
                    "{name|은} 언제 데뷔했는가?",
                    "{name|이} 데뷔한 해는 언제인가?",
                    "{name|이} 첫 작품을 낸 것은 몇 년인가?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{year_move}에 {place_move|으로} 이사했다.",
                "{year_move}부터는 {place_move}에 살았다.",
                "{그는}가족과 함께 {place_move|으로} 집을 옮겼는데, 이때가 {year_move}이다.",
            ),
            {
                "place_move": (
                    "{name|은} 어디로 이사했는가?",
                    "{name|이} 집을 옮긴 곳은 어디인가?",
                    "{name|이} 옮겨 가서 산 곳은?",
                ),
                "year_move": (
                    "{name|은} 언제 이사했는가?",
                    "{name|이} 집을 옮긴 해는 언제인가?",
                    "{name|이} 이사한 것은 몇 년인가?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{year_marry}에 {job_spouse} {person_spouse|과} 결혼했다.",
                "{그의}배우자는 {job_spouse} {person_spouse}이며, 결혼한 해는 {year_marry}이다.",
                "{year_marry}에는 {job_spouse|으로} 일하던 {person_spouse|과} 부부가 되었다.",
            ),
            {
                "person_spouse": (
                    "{name|은} 누구와 결혼했는가?",
                    "{name}의 배우자는 누구인가?",
                    "{name|과} 결혼한 사람은 누구인가?",
                ),
                "year_marry": (
                    "{name|은} 언제 결혼했는가?",
                    "{name|이} 결혼한 해는 언제인가?",
                ),
                "job_spouse": (
                    "{name}의 배우자는 직업이 무엇인가?",
                    "{name|과} 결혼한 사람의 직업은?",
                ),
            },
        ),
        Fact(
            (
                "{그의}대표작은 《{work_main}》이다.",
                "{그의}작품 가운데 '{work_main}'{work_main!이} 가장 널리 알려져 있다.",
                "{그는}《{work_main}》{work_main!으로} 큰 인기를 얻었다.",
            ),
            {
                "work_main": (
                    "{name}의 대표작은 무엇인가?",
                    "{name}의 작품 가운데 가장 널리 알려진 것은?",
                    "{name|이} 큰 인기를 얻은 작품은 무엇인가?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{year_teach}부터 {place_teach}에서 학생들을 가르쳤다.",
                "{place_teach}에서 교사로 일하기 시작한 것은 {year_teach}이다.",
                "{그는}{year_teach} {place_teach}에 작은 교실을 열어 제자를 길렀다.",
            ),
            {
                "place_teach": (
                    "{name|은} 어디에서 학생들을 가르쳤는가?",
                    "{name|이} 교사로 일한 곳은 어디인가?",
                    "{name|이} 제자를 기른 곳은?",
                ),
                "year_teach": (
                    "{name|은} 언제부터 학생들을 가르쳤는가?",
                    "{name|이} 교사로 일하기 시작한 해는 언제인가?",
                    "{name|이} 제자를 기르기 시작한 것은 몇 년인가?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{year_prize}에 {prize_own|을} 받았다.",
                "{그는}{prize_own|을} {year_prize}에 수상했다.",
                "{year_prize}에는 {prize_own}의 수상자로 뽑혔다.",
            ),
            {
                "prize_own": (
                    "{name|이} 받은 상은 무엇인가?",
                    "{name|은} 어떤 상을 받았는가?",
                    "{name|이} 수상한 상의 이름은?",
                ),
                "year_prize": (
                    "{name|은} 언제 상을 받았는가?",
                    "{name|이} 상을 받은 해는 언제인가?",
                    "{name|이} 수상한 것은 몇 년인가?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{year_death}에 {place_death}에서 세상을 떠났다.",
                "{그는}{place_death}에서 지내다 {year_death}에 눈을 감았다.",
                "{year_death} {place_death}의 병원에서 숨을 거두었다.",
            ),
            {
                "year_death": (
                    "{name|은} 언제 세상을 떠났는가?",
                    "{name|이} 사망한 해는 언제인가?",
                    "{name|은} 몇 년에 숨졌나?",
                ),
                "place_death": (
                    "{name|은} 어디에서 세상을 떠났는가?",
                    "{name|이} 사망한 곳은 어디인가?",
                    "{name|이} 숨진 곳은?",
                ),
            },
        ),
    ),
    asides=(
        "지금도 많은 사람이 그를 기억한다.",
        "평생 검소하게 살았다고 한다.",
        "그를 다룬 책도 여러 권 나왔다.",
        "산책을 무척 좋아했다.",
    ),
)

COMPANY = Kind(
    entity="company",
    topics=("", "회사는 ", "이 회사는 "),
    owners=("", "회사의 ", "이 회사의 "),
    facts=(
        Fact(
            (
                "{그는}{year_found}에 {place_found}에서 세워졌다.",
                "{그는}{place_found}의 작은 창고에서 {year_found}에 문을 열었다.",
                "{그는}{year_found} {place_found}에서 출발했다.",
            ),
            {
                "year_found": (
                    "{name|은} 언제 세워졌는가?",
                    "{name|이} 설립된 해는 언제인가?",
                    "{name|은} 몇 년에 출발했나?",
                ),
                "place_found": (
                    "{name|은} 어디에서 세워졌는가?",
                    "{name|이} 설립된 곳은 어디인가?",
                    "{name|이} 출발한 곳은?",
                ),
            },
        ),
        Fact(
            (
                "{그의}창업자는 {person_founder}이다.",
                "{그는}{person_founder|이} 세운 기업이다.",
                "{그는}{person_founder|이} 친구들과 함께 만들었다.",
            ),
            {
                "person_founder": (
                    "{name}의 창업자는 누구인가?",
                    "{name|을} 세운 사람은 누구인가?",
                    "누가 {name|을} 만들었는가?",
                ),
            },
        ),
        Fact(
            (
                "{그의}첫 제품은 {year_goods}에 나온 {goods_first}이다.",
                "{그는}{year_goods}에 첫 제품 {goods_first|을} 내놓았다.",
                "{그는}{goods_first|을} {year_goods}에 처음 팔기 시작했다.",
            ),
            {
                "goods_first": (
                    "{name}의 첫 제품은 무엇인가?",
                    "{name|이} 처음 내놓은 제품은 무엇인가?",
                    "{name|이} 처음으로 판 것은?",
                ),
                "year_goods": (
                    "{name|은} 언제 첫 제품을 내놓았는가?",
                    "{name}의 첫 제품이 나온 해는 언제인가?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{year_head}에 본사를 {place_head|으로} 옮겼다.",
                "{그의}본사는 {year_head}부터 {place_head}에 있다.",
                "{year_head}에는 {place_head}에 새 본사를 마련했다.",
            ),
            {
                "place_head": (
                    "{name}의 본사는 어디에 있는가?",
                    "{name|이} 본사를 옮긴 곳은 어디인가?",
                    "{name}의 새 본사는 어디인가?",
                ),
                "year_head": (
                    "{name|은} 언제 본사를 옮겼는가?",
                    "{name|이} 새 본사를 마련한 해는 언제인가?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{year_plant} {place_plant}에 공장을 지었다.",
                "{place_plant}의 공장은 {year_plant}에 완공되었다.",
                "{그는}{place_plant}에 공장을 세워 {year_plant}부터 돌리고 있다.",
            ),
            {
                "place_plant": (
                    "{name}의 공장은 어디에 있는가?",
                    "{name|은} 어디에 공장을 지었는가?",
                    "{name|이} 공장을 세운 곳은?",
                ),
                "year_plant": (
                    "{name}의 공장은 언제 완공되었는가?",
                    "{name|이} 공장을 지은 해는 언제인가?",
                ),
            },
        ),
        Fact(
            (
                "{그의}직원은 {staff_own}이다.",
                "{그는}{staff_own}의 직원을 두고 있다.",
                "현재 {staff_own|이} 이곳에서 일한다.",
            ),
            {
                "staff_own": (
                    "{name}의 직원은 몇 명인가?",
                    "{name}에서 일하는 사람은 모두 몇 명인가?",
                ),
            },
        ),
        Fact(
            (
                "{그의}대표는 {person_head}이며 {year_boss}에 취임했다.",
                "{year_boss}부터는 {person_head|이} 사장을 맡고 있다.",
                "{그는}{year_boss} {person_head|을} 새 대표로 뽑았다.",
            ),
            {
                "person_head": (
                    "{name}의 대표는 누구인가?",
                    "{name}의 사장을 맡은 사람은 누구인가?",
                ),
                "year_boss": (
                    "{name}의 대표는 언제 취임했는가?",
                    "{name}의 사장이 바뀐 해는 언제인가?",
                ),
            },
        ),
    ),
    asides=(
        "오랫동안 동네 사람들의 사랑을 받았다.",
        "광고를 거의 하지 않는 것으로 유명하다.",
        "한때 큰 어려움을 겪기도 했다.",
    ),
)

HALL = Kind(
    entity="hall",
    topics=("", "이곳은 "),
    owners=("", "이곳의 "),
    facts=(
        Fact(
            (
                "{그는}{year_open} {place_own}에 문을 열었다.",
                "{그는}{place_own}에 있으며 {year_open}에 개관했다.",
                "{그는}{year_open}에 문을 연 {place_own}의 문화 시설이다.",
            ),
            {
                "year_open": (
                    "{name|은} 언제 문을 열었는가?",
                    "{name|이} 개관한 해는 언제인가?",
                    "{name|은} 몇 년에 개관했나?",
                ),
                "place_own": (
                    "{name|은} 어디에 있는가?",
                    "{name|이} 문을 연 곳은 어디인가?",
                    "{name|이} 있는 곳은?",
                ),
            },
        ),
        Fact(
            (
                "{그의}건물은 {person_design|이} 설계했다.",
                "설계를 맡은 사람은 {person_design}이다.",
                "{그는}건축가 {person_design}의 설계로 지어졌다.",
            ),
            {
                "person_design": (
                    "{name}의 건물은 누가 설계했는가?",
                    "{name|을} 설계한 사람은 누구인가?",
                    "{name}의 건축가는 누구인가?",
                ),
            },
        ),
        Fact(
            (
                "{그의}돌은 모두 {place_stone}에서 가져왔다.",
                "건물을 지을 때 {place_stone}의 돌을 썼다.",
                "{place_stone}에서 실어 온 돌로 벽을 쌓았다.",
            ),
            {
                "place_stone": (
                    "{name}의 돌은 어디에서 가져왔는가?",
                    "{name|을} 지을 때 어디의 돌을 썼는가?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{year_fire}에 큰불로 지붕을 잃었다.",
                "{year_fire}에는 화재가 일어나 문을 닫았다.",
                "{그는}{year_fire} 화재로 큰 피해를 보았다.",
            ),
            {
                "year_fire": (
                    "{name}에 언제 불이 났는가?",
                    "{name}에서 화재가 일어난 해는 언제인가?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{year_repair}에 고쳐 지어 다시 문을 열었다.",
                "{그의}수리는 {year_repair}에 끝났다.",
                "{year_repair}에는 낡은 곳을 모두 수리했다.",
            ),
            {
                "year_repair": (
                    "{name|을} 수리한 해는 언제인가?",
                    "{name|은} 언제 고쳐 지어졌는가?",
                    "{name}의 수리는 언제 끝났는가?",
                ),
            },
        ),
        Fact(
            (
                "{그는}{year_branch} {place_branch}에 분관을 냈다.",
                "{그의}분관은 {place_branch}에 있으며 {year_branch}에 생겼다.",
                "{year_branch}에는 {place_branch}에도 분관이 들어섰다.",
            ),
            {
                "place_branch": (
                    "{name}의 분관은 어디에 있는가?",
                    "{name|이} 분관을 낸 곳은 어디인가?",
                ),
                "year_branch": (
                    "{name}의 분관은 언제 생겼는가?",
                    "{name|이} 분관을 낸 해는 언제인가?",
                ),
            },
        ),
        Fact(
            (
                "{그의}소장품은 {items_own}이다.",
                "{그는}{items_own}의 자료를 갖추고 있다.",
                "모두 {items_own|을} 보관하고 있다.",
            ),
            {
                "items_own": (
                    "{name}의 소장품은 몇 점인가?",
                    "{name}에 보관된 자료는 모두 몇 점인가?",
                ),
            },
        ),
        Fact(
            (
                "{그의}강당은 {seats_own}이다.",
                "강당에는 {seats_own}의 자리가 있다.",
                "{그는}{seats_own|을} 갖춘 강당을 두었다.",
            ),
            {
                "seats_own": (
                    "{name}의 강당은 몇 석인가?",
                    "{name}의 강당에는 자리가 몇 석 있는가?",
                ),
            },
        ),
        Fact(
            (
                "{그의}관장은 {person_head}이다.",
                "현재 {person_head|이} 관장을 맡고 있다.",
                "{그는}{person_head} 관장이 이끌고 있다.",
            ),
            {
                "person_head": (
                    "{name}의 관장은 누구인가?",
                    "{name|을} 이끄는 사람은 누구인가?",
                ),
            },
        ),
    ),
    asides=(
        "주말이면 나들이하는 가족으로 붐빈다.",
        "입장료는 받지 않는다.",
        "뒤뜰의 정원이 아름답기로 이름났다.",
    ),
)

# Half the articles are about people.
KINDS = (PERSON, PERSON, COMPANY, HALL)
